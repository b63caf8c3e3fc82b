from __future__ import annotations

import dataclasses
from typing import ClassVar

from contract.config.fields import CountOrZero
from coordinator.aggregators.base import Combination, too_few
from coordinator.aggregators.folding import Nearest
from coordinator.aggregators.stack import Stack


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MeanAroundMedian:
    """Of each coordinate the mean of the n-f values nearest the median. Every gradient has one vote."""

    name: ClassVar[str] = "meamed"
    by_coordinate: ClassVar[bool] = True
    num_byzantine: CountOrZero = 0

    def problem(self, num_gradients: int) -> str | None:
        return too_few(self.name, "n > 2f", least=2 * self.num_byzantine + 1, num_gradients=num_gradients)

    def combine(self, stack: Stack) -> Combination:
        return stack.folded(Nearest(kept=len(stack) - self.num_byzantine))
