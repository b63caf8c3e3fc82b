from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

from contract.config.fields import CountOrZero
from coordinator.aggregators.base import Combination
from coordinator.aggregators.folding import Middle
from coordinator.aggregators.stack import Stack


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrimmedMean:
    """Drop the largest and the smallest share of each coordinate, average the rest. Every gradient has one vote."""

    name: ClassVar[str] = "trimmed_mean"
    by_coordinate: ClassVar[bool] = True
    trim: float = 0.2
    num_byzantine: CountOrZero = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.trim < 0.5:
            raise ValueError("trim is from 0 to below 1/2, or nothing would be left")

    def problem(self, num_gradients: int) -> str | None:
        if num_gradients > 2 * self._dropped(num_gradients):
            return None
        # With an even n more is dropped: what is rounded up is rounded up on both sides.
        least = max(2 * self.num_byzantine + 1, math.ceil(1.0 / (1.0 - 2.0 * self.trim) - 1e-9) | 1)
        return (
            f"{self.name} needs n > 2 max(ceil({self.trim:g} n), f) gradients, here {least} for example; "
            f"of {num_gradients} nothing is left"
        )

    def combine(self, stack: Stack) -> Combination:
        return stack.folded(Middle(dropped=self._dropped(len(stack))))

    def _dropped(self, num_gradients: int) -> int:
        """From each side. A share that is a whole number on paper may be a little more in binary."""
        return max(math.ceil(self.trim * num_gradients - 1e-9), self.num_byzantine)
