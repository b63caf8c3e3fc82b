from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import Tensor

from tests.attacks.base import Attack, Seen, scaled


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SignFlip(Attack):
    """Uphill instead of downhill: the own gradient, turned round."""

    name: ClassVar[str] = "sign_flip"
    scale: float = 1.0

    def forge(self, seen: Seen) -> dict[str, Tensor]:
        return scaled(seen.own, -self.scale)
