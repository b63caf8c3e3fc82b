from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from typing import ClassVar

import torch

from contract.config.fields import Positive
from coordinator.aggregators.base import too_few
from coordinator.aggregators.stack import Stack


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """Gradients longer than `norm` are shortened to it; unless it is given, to the median of their norms."""

    name: ClassVar[str] = "clip"
    norm: Positive | None = None

    def problem(self, num_vectors: int) -> str | None:
        return too_few(self.name, "n >= 1", least=1, num_gradients=num_vectors)

    def num_left(self, num_vectors: int) -> int:
        return num_vectors

    def apply(self, stack: Stack, *, seed: int) -> Stack:
        found = norms(stack)
        return clipped(stack, found, limit=self.norm or statistics.median(found))


def norms(stack: Stack) -> list[float]:
    # Of a mixture of mixtures a rounding error may leave a norm a little below zero.
    return [math.sqrt(max(0.0, square)) for square in stack.gram().diagonal().tolist()]


def clipped(stack: Stack, found: Sequence[float], *, limit: float) -> Stack:
    factors = [min(1.0, limit / norm) if norm else 1.0 for norm in found]
    return stack.mixed(torch.diag(torch.tensor(factors, dtype=torch.float64)), stack.weights)
