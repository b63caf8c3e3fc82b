from __future__ import annotations

import dataclasses
import math
from typing import ClassVar


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Exponential:
    """exp(-rate t)."""

    name: ClassVar[str] = "exponential"
    rate: float = 0.1

    def __post_init__(self) -> None:
        if not self.rate >= 0:
            raise ValueError("rate is at least 0, or late gradients would weigh more than fresh ones")

    def share(self, staleness: int, bound: int) -> float:
        return math.exp(-self.rate * staleness)
