from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import Tensor

from tests.attacks.base import Attack, Seen, copied


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FreeRiderStale(Attack):
    """Computes once, and uploads that for ever after."""

    name: ClassVar[str] = "free_rider_stale"

    def forge(self, seen: Seen) -> dict[str, Tensor]:
        return copied(seen.first)
