"""Small computations with a number for each gradient, which several rules share."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor


def normalised(weights: Sequence[float]) -> list[float]:
    """Shares that sum to 1; of gradients that are all worth nothing, nothing."""
    whole = math.fsum(weights)
    return [weight / whole if whole else 0.0 for weight in weights]


def mean_of(chosen: Collection[int], weights: Sequence[float]) -> list[float]:
    """The shares of a mean, weighted by p, over the places `chosen`."""
    return normalised([weight if place in chosen else 0.0 for place, weight in enumerate(weights)])


def krum_scores(distances: Tensor, *, num_byzantine: int) -> list[tuple[float, float]]:
    """The sum of each vector's squared distances to its n-f-2 nearest others, or to one where that is fewer. Two that
    are each other's nearest would often have the same; the sum over all others, which stands second, decides."""
    num_near = max(1, len(distances) - num_byzantine - 2)
    others = distances.clone().fill_diagonal_(torch.inf).sort(dim=1).values[:, :-1].tolist()
    return [(math.fsum(row[:num_near]), math.fsum(row)) for row in others]


def best(scores: Sequence[Any], count: int = 1) -> list[int]:
    """The places of the lowest scores; of equal ones the first."""
    return sorted(range(len(scores)), key=lambda place: (scores[place], place))[:count]
