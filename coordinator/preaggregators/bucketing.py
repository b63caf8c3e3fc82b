from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import torch

from contract.config.fields import Count
from contract.workloads.order import mixed
from coordinator.aggregators.base import too_few
from coordinator.aggregators.stack import Stack
from coordinator.aggregators.weights import normalised


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bucketing:
    """The gradients are thrown together at random in groups of `size`; each group is its mean, weighted by samples and
    freshness, and speaks for all its members."""

    name: ClassVar[str] = "bucketing"
    size: Count = 2

    def problem(self, num_vectors: int) -> str | None:
        return too_few(self.name, "n >= 1", least=1, num_gradients=num_vectors)

    def num_left(self, num_vectors: int) -> int:
        return -(-num_vectors // self.size)

    def apply(self, stack: Stack, *, seed: int) -> Stack:
        order = sorted(range(len(stack)), key=lambda place: mixed(seed, place))
        groups = [order[start : start + self.size] for start in range(0, len(order), self.size)]
        mixing = torch.zeros(len(groups), len(stack), dtype=torch.float64)
        weights = []
        for row, group in enumerate(groups):
            found = [stack.weights[place] for place in group]
            mixing[row, group] = torch.tensor(normalised(found), dtype=torch.float64)
            weights.append(math.fsum(found))
        return stack.mixed(mixing, weights)
