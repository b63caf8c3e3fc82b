from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from contract.config.fields import CountOrZero
from coordinator.aggregators.base import Combination, too_few
from coordinator.aggregators.stack import Stack
from coordinator.aggregators.weights import normalised


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CovarianceFilter:
    """Covariance-bound agnostic filter: again and again whoever lies far out in the direction in which the gradients
    differ most loses weight, until n-2f is left; of the means on the way the one with the least variance is taken.

    Directions are sums of the gradients, so the Gram matrix has all that is needed, exactly.
    """

    name: ClassVar[str] = "caf"
    by_coordinate: ClassVar[bool] = False
    num_byzantine: CountOrZero = 0

    def problem(self, num_gradients: int) -> str | None:
        return too_few(self.name, "n > 2f", least=2 * self.num_byzantine + 1, num_gradients=num_gradients)

    def combine(self, stack: Stack) -> Combination:
        n, gram = len(stack), stack.gram()
        counts = [1.0] * n
        least, shares = math.inf, normalised(counts)
        while math.fsum(counts) > n - 2 * self.num_byzantine:
            means = normalised(counts)
            variance, far = _spread(gram, torch.tensor(means, dtype=torch.float64))
            if variance < least:
                least, shares = variance, means
            farthest = max(square for square, count in zip(far, counts, strict=True) if count)
            if not farthest:
                break
            # Whoever is farthest is out, so there is an end.
            counts = [
                count * (1.0 - square / farthest) if count else 0.0 for count, square in zip(counts, far, strict=True)
            ]
        return stack.weighted(shares)


def _spread(gram: Tensor, shares: Tensor) -> tuple[float, list[float]]:
    """The largest eigenvalue of the covariance about the weighted mean, and the square of each vector's distance from
    the mean in that direction."""
    towards = (gram * shares).sum(1)
    around = gram - towards[:, None] - towards[None, :] + (towards * shares).sum()
    roots = shares.sqrt()
    values, vectors = torch.linalg.eigh(around * roots[:, None] * roots[None, :])
    variance = float(values[-1])
    if variance <= 0.0:
        return 0.0, [0.0] * len(gram)
    along = (around * (roots * vectors[:, -1])).sum(1)
    return variance, along.square().div_(variance).tolist()
