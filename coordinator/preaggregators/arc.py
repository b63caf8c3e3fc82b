from __future__ import annotations

import dataclasses
from typing import ClassVar

from contract.config.fields import CountOrZero
from coordinator.aggregators.base import too_few
from coordinator.aggregators.stack import Stack
from coordinator.aggregators.weights import best
from coordinator.preaggregators.clip import clipped, norms


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveRobustClipping:
    """The floor(2 f/n (n-f)) longest gradients are shortened to the longest of the others."""

    name: ClassVar[str] = "arc"
    num_byzantine: CountOrZero = 0

    def problem(self, num_vectors: int) -> str | None:
        return too_few(self.name, "n > 2f", least=2 * self.num_byzantine + 1, num_gradients=num_vectors)

    def num_left(self, num_vectors: int) -> int:
        return num_vectors

    def apply(self, stack: Stack, *, seed: int) -> Stack:
        n, f = len(stack), self.num_byzantine
        found = norms(stack)
        longest_other = best(found, n - 2 * f * (n - f) // n)[-1]
        return clipped(stack, found, limit=found[longest_other])
