from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import Tensor

from tests.attacks.base import Attack, Seen, scaled


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scaled(Attack):
    """The own gradient, so long that the others do not count."""

    name: ClassVar[str] = "scaled"
    factor: float = 1000.0

    def forge(self, seen: Seen) -> dict[str, Tensor]:
        return scaled(seen.own, self.factor)
