"""What is done to the gradients before a rule sees them.

A pre-aggregator makes other vectors of a stack's, each a weighted sum of them. It promises the same sums for the same
vectors, seed and order, and to say how many are left: the rule's inequality is then about those. The conformance suite
`tests/unit/test_every_preaggregator.py` holds every one to it.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from coordinator.aggregators.stack import Stack


class PreAggregator(Protocol):
    """An option `num_byzantine` is filled from the run's `aggregation.num_byzantine`."""

    name: ClassVar[str]

    def problem(self, num_vectors: int) -> str | None:
        """Why it cannot work with so many, naming the inequality, or None."""
        ...

    def num_left(self, num_vectors: int) -> int: ...

    def apply(self, stack: Stack, *, seed: int) -> Stack: ...
