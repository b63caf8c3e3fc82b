from __future__ import annotations

import dataclasses
from typing import ClassVar

from coordinator.aggregators.base import Combination, too_few
from coordinator.aggregators.stack import Stack
from coordinator.aggregators.weights import normalised


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """The mean, weighted by samples and freshness: one look at each gradient, and no protection from a hostile one."""

    name: ClassVar[str] = "mean"
    by_coordinate: ClassVar[bool] = False

    def problem(self, num_gradients: int) -> str | None:
        return too_few(self.name, "n >= 1", least=1, num_gradients=num_gradients)

    def combine(self, stack: Stack) -> Combination:
        return stack.weighted(normalised(stack.weights))
