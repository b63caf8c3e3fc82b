"""How many gradients become one.

A rule sees one group at a time (the generator's parameters, the discriminator's, the buffers), each contribution a
vector: the group's tensors, flattened, in the manifest's order. It promises to give the same bits for the same
contributions in the same order, and to hold no more than a chunk of each contribution in memory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

from torch import Tensor

from contract.compressors import Decoder
from contract.ids import GradientId


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """A gradient's part in one group. `weight` is p of the design; `factor` is what clipping left of the vector."""

    gradient: GradientId
    weight: float
    decoder: Decoder
    factor: float = 1.0

    def read(self, name: str, start: int, stop: int) -> Tensor:
        values = self.decoder.read(name, start, stop)
        return values if self.factor == 1.0 else values.mul_(self.factor)

    def add_to(self, name: str, total: Tensor, *, weight: float) -> None:
        self.decoder.add_to(name, total, weight=weight * self.factor)


class Combination(Protocol):
    """What a rule decided; the numbers are formed slab by slab, so that no whole vector need be held."""

    @property
    def shares(self) -> Sequence[float]:
        """The share that each contribution has in the aggregate, in their order."""
        ...

    def fill(self, totals: Mapping[str, Tensor]) -> None:
        """Overwrite these tensors of the group, flat."""
        ...


class Aggregator(Protocol):
    name: ClassVar[str]

    def problem(self, num_gradients: int) -> str | None:
        """Why this rule cannot work with so many, naming the inequality, or None."""
        ...

    def combine(self, contributions: Sequence[Contribution], sizes: Mapping[str, int]) -> Combination:
        """`sizes` names the group's tensors with their numbers of values, in the manifest's order."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WeightedSum:
    """For every rule that comes down to a weight for each contribution."""

    contributions: Sequence[Contribution]
    shares: Sequence[float]

    def fill(self, totals: Mapping[str, Tensor]) -> None:
        for total in totals.values():
            total.zero_()
        # One gradient after another: it may lie in a database, and is read there from front to end.
        for contribution, share in zip(self.contributions, self.shares, strict=True):
            for name, total in totals.items():
                contribution.add_to(name, total, weight=share)
