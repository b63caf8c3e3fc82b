"""How an aggregate moves the weights, and what is remembered of it.

An optimizer steps one tensor at a time, in place. It promises the same bits for the same tensors, however many threads
there are, and needs no memory beyond its moments but for a number per row and column: the gradient's own place is free
once it has been read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import ClassVar, Final, Protocol

import torch
from torch import Tensor

from contract.compressors.base import CHUNK_VALUES
from contract.workloads.base import Group, Hyperparameters

# Four arrays of so many values stay in a processor's second cache while seven operations go over them.
STEP_VALUES: Final = min(CHUNK_VALUES, 1 << 15)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A tensor of the model, flat, and by name the moments that belong to it."""

    name: str
    group: Group
    weights: Tensor
    moments: Mapping[str, Tensor]
    # 1 of a vector.
    num_rows: int = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recollection:
    """What an optimizer knows of the aggregates so far: `factor` times this moment is a mean of them, in which the
    last count most."""

    moment: str
    factor: float


class Optimizer(Protocol):
    name: ClassVar[str]
    # Each is as large as the parameters, begins as zeros and is published beside the weights.
    moments: ClassVar[tuple[str, ...]]

    def step(self, parameter: Parameter, gradient: Tensor, *, num_steps: int, hyperparameters: Hyperparameters) -> None:
        """The step that follows `num_steps` steps. Afterwards `gradient` holds anything."""
        ...

    def recollection(self, *, num_steps: int, hyperparameters: Hyperparameters) -> Recollection: ...


def in_cache(*arrays: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same stretch of each, one stretch after another."""
    return zip(*(torch.split(array, STEP_VALUES) for array in arrays), strict=True)
