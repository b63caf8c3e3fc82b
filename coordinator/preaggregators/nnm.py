from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch

from contract.config.fields import CountOrZero
from coordinator.aggregators.base import too_few
from coordinator.aggregators.gram import squared_distances
from coordinator.aggregators.stack import Stack
from coordinator.aggregators.weights import best


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NearestNeighbourMixing:
    """Each gradient becomes the mean of its n-f nearest, itself included: the honest ones, which differ because their
    data do, come near to each other."""

    name: ClassVar[str] = "nnm"
    num_byzantine: CountOrZero = 0

    def problem(self, num_vectors: int) -> str | None:
        return too_few(self.name, "n > 2f", least=2 * self.num_byzantine + 1, num_gradients=num_vectors)

    def num_left(self, num_vectors: int) -> int:
        return num_vectors

    def apply(self, stack: Stack, *, seed: int) -> Stack:
        num_near = len(stack) - self.num_byzantine
        # Of its copies each is the nearest to itself.
        distances = squared_distances(stack.gram()).fill_diagonal_(-1.0).tolist()
        mixing = torch.zeros(len(stack), len(stack), dtype=torch.float64)
        for place, row in enumerate(distances):
            mixing[place, best(row, num_near)] = 1.0 / num_near
        return stack.mixed(mixing, stack.weights)
