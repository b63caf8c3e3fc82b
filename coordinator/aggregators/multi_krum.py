from __future__ import annotations

import dataclasses
from typing import ClassVar

from contract.config.fields import Count, CountOrZero
from coordinator.aggregators.base import Combination, too_few
from coordinator.aggregators.gram import squared_distances
from coordinator.aggregators.stack import Stack
from coordinator.aggregators.weights import best, krum_scores, mean_of


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MultiKrum:
    """The mean of the `num_chosen` gradients with the nearest neighbours, n-f unless given, weighted by samples and
    freshness."""

    name: ClassVar[str] = "multi_krum"
    by_coordinate: ClassVar[bool] = False
    num_byzantine: CountOrZero = 0
    num_chosen: Count | None = None

    def problem(self, num_gradients: int) -> str | None:
        f, m = self.num_byzantine, self.num_chosen
        inequality = "n >= 2f+3" if m is None else f"n >= 2f+3 and n-f >= {m}"
        least = max(2 * f + 3, f + (m or 0))
        return too_few(self.name, inequality, least=least, num_gradients=num_gradients)

    def combine(self, stack: Stack) -> Combination:
        scores = krum_scores(squared_distances(stack.gram()), num_byzantine=self.num_byzantine)
        chosen = best(scores, self.num_chosen or len(stack) - self.num_byzantine)
        return stack.weighted(mean_of(chosen, stack.weights))
