from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Final

import torch
from torch import Tensor

from contract.config.fields import Count, CountOrZero, Positive
from coordinator.aggregators.base import Combination, too_few
from coordinator.aggregators.gram import distances_to, squared_distances
from coordinator.aggregators.stack import Stack
from coordinator.aggregators.weights import best, mean_of, normalised

# Where more than half of the gradients are the same there is no distance to compare with.
_SMALLEST: Final = 1e-150


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GeometricMedian:
    """The point with the smallest sum of distances to the gradients, each times its samples and freshness.

    Weiszfeld's iteration: shares in inverse proportion to the distance, but to none below `nu`, until the point moves
    by less than `tolerance`. Both are in units of the gradients' usual distance from each other.
    """

    name: ClassVar[str] = "geometric_median"
    by_coordinate: ClassVar[bool] = False
    num_byzantine: CountOrZero = 0
    nu: Positive = 1e-6
    tolerance: Positive = 1e-9
    max_iterations: Count = 1000

    def problem(self, num_gradients: int) -> str | None:
        return too_few(self.name, "n > 2f", least=2 * self.num_byzantine + 1, num_gradients=num_gradients)

    def combine(self, stack: Stack) -> Combination:
        gram = stack.gram()
        usual, shares = _begin(squared_distances(gram), stack.weights)
        nearest = max(self.nu * usual, _SMALLEST)
        for _ in range(self.max_iterations):
            found = distances_to(gram, shares).clamp_(min=nearest).tolist()
            before = shares
            shares = normalised([weight / far for weight, far in zip(stack.weights, found, strict=True)])
            if _length(gram, shares, before) <= self.tolerance * usual:
                break
        return stack.weighted(shares)


def _begin(squares: Tensor, weights: Sequence[float]) -> tuple[float, list[float]]:
    """How far the gradients are usually from each other, and the mean of the half that is nearest together: a minority,
    however far away, moves neither. From the mean of all, each step would come nearer by a share of the way only."""
    n = len(squares)
    ordered = squares.sqrt().sort(dim=1).values
    to_half = ordered[:, (n - 1) // 2 if n < 3 else n // 2].tolist()
    (centre,) = best(to_half)
    usual = sorted(to_half)[(n - 1) // 2]
    nearest = best(squares[centre].tolist(), n // 2 + 1)
    return usual, mean_of(nearest, weights)


def _length(gram: Tensor, shares: list[float], before: list[float]) -> float:
    move = torch.tensor(shares, dtype=torch.float64) - torch.tensor(before, dtype=torch.float64)
    return float(((gram * move).sum(1) * move).sum().clamp(min=0.0).sqrt())
