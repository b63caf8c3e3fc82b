from __future__ import annotations

import dataclasses
from typing import ClassVar

from contract.config.fields import CountOrZero
from coordinator.aggregators.base import Combination, too_few
from coordinator.aggregators.folding import Nearest
from coordinator.aggregators.gram import squared_distances
from coordinator.aggregators.stack import Stack
from coordinator.aggregators.weights import best, krum_scores


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bulyan:
    """n-2f gradients are selected one after another by Krum; of their coordinates, each by itself, the mean of the n-4f
    values nearest the median. Krum finds who is far off as a whole, the median who is so in a few coordinates."""

    name: ClassVar[str] = "bulyan"
    by_coordinate: ClassVar[bool] = True
    num_byzantine: CountOrZero = 0

    def problem(self, num_gradients: int) -> str | None:
        return too_few(self.name, "n >= 4f+3", least=4 * self.num_byzantine + 3, num_gradients=num_gradients)

    def combine(self, stack: Stack) -> Combination:
        n, f = len(stack), self.num_byzantine
        distances = squared_distances(stack.gram())
        left = list(range(n))
        chosen: list[int] = []
        while len(chosen) < n - 2 * f:
            (place,) = best(krum_scores(distances[left][:, left], num_byzantine=f))
            chosen.append(left.pop(place))
        return stack.folded(Nearest(kept=n - 4 * f), chosen=sorted(chosen))
