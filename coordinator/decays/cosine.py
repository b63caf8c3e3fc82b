from __future__ import annotations

import dataclasses
import math
from typing import ClassVar


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cosine:
    """exp(-rate t), under half a cosine that closes at the bound."""

    name: ClassVar[str] = "cosine"
    rate: float = 0.1

    def __post_init__(self) -> None:
        if not self.rate >= 0:
            raise ValueError("rate is at least 0, or late gradients would weigh more than fresh ones")

    def share(self, staleness: int, bound: int) -> float:
        # A bound of 0 admits fresh gradients alone, and those are whole.
        gate = 0.5 * (1.0 + math.cos(math.pi * min(1.0, staleness / bound))) if staleness else 1.0
        return gate * math.exp(-self.rate * staleness)
