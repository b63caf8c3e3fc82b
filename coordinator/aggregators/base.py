"""How many gradients become one.

A rule sees one group at a time (the generator's parameters, the discriminator's, the buffers), and in it a vector for
each gradient: the group's tensors, flattened. It gets them as a `Stack`, which answers what a rule may ask (the Gram
matrix; a weighted sum; a fold of each coordinate) and never shows more than a chunk of a vector. A rule promises
- the same bits for the same gradients in the same order, with any number of threads;
- to refuse, by `problem`, every number of gradients for which its own promise does not hold.
The conformance suite `tests/unit/test_every_rule.py` holds every rule to it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

from torch import Tensor

from contract.compressors import Decoder
from contract.ids import GradientId

if TYPE_CHECKING:
    from coordinator.aggregators.stack import Stack


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """A gradient's part in one group. `weight` is p of the design; `factor` is what clipping left of the vector."""

    gradient: GradientId
    weight: float
    decoder: Decoder
    factor: float = 1.0

    def read_into(self, name: str, start: int, stop: int, out: Tensor) -> None:
        self.decoder.read_into(name, start, stop, out)
        if self.factor != 1.0:
            out.mul_(self.factor)

    def add_to(self, name: str, total: Tensor, *, weight: float) -> None:
        self.decoder.add_to(name, total, weight=weight * self.factor)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Centre:
    """Where the aggregates were so far: `factor` times these tensors, flat, by the names of the group's."""

    tensors: Mapping[str, Tensor]
    factor: float = 1.0


class Combination(Protocol):
    """What a rule decided; the numbers are formed slab by slab, so that no whole vector need be held."""

    def fill(self, totals: Mapping[str, Tensor]) -> None:
        """Overwrite these tensors of the group, flat."""
        ...

    @property
    def shares(self) -> Sequence[float]:
        """How much of each contribution is in the aggregate, in their order; known when everything is filled.

        For a weighted sum its factors. For a fold of each coordinate the share of a gradient's values among those
        that were used, on a sample of the coordinates.
        """
        ...


class Aggregator(Protocol):
    """An option `num_byzantine` is filled from the run's `aggregation.num_byzantine`; it is f of the inequalities."""

    name: ClassVar[str]
    # Whether it folds each coordinate by itself, to which most coordinates of a sparse codec are zero.
    by_coordinate: ClassVar[bool]

    def problem(self, num_gradients: int) -> str | None:
        """Why this rule cannot work with so many, naming the inequality, or None."""
        ...

    def combine(self, stack: Stack) -> Combination: ...


def too_few(name: str, inequality: str, *, least: int, num_gradients: int) -> str | None:
    """A rule's `problem`, where all from `least` on will do."""
    if num_gradients >= least:
        return None
    return f"{name} needs {inequality} gradients, here at least {least}; there {_are(num_gradients)}"


def _are(number: int) -> str:
    return "is 1" if number == 1 else f"are {number}"
