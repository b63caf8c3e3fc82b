from __future__ import annotations

import dataclasses
from typing import ClassVar

from contract.config.fields import CountOrZero
from coordinator.aggregators.base import Combination, too_few
from coordinator.aggregators.gram import squared_distances
from coordinator.aggregators.stack import Stack
from coordinator.aggregators.weights import best, krum_scores


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Krum:
    """The one gradient that has the nearest neighbours, and none of the others."""

    name: ClassVar[str] = "krum"
    by_coordinate: ClassVar[bool] = False
    num_byzantine: CountOrZero = 0

    def problem(self, num_gradients: int) -> str | None:
        return too_few(self.name, "n >= 2f+3", least=2 * self.num_byzantine + 3, num_gradients=num_gradients)

    def combine(self, stack: Stack) -> Combination:
        scores = krum_scores(squared_distances(stack.gram()), num_byzantine=self.num_byzantine)
        (chosen,) = best(scores)
        return stack.weighted([float(place == chosen) for place in range(len(stack))])
