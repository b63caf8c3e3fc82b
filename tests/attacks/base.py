"""What a hostile volunteer can do: turn what is known into an upload, and see other data than the run's.

An attack is a pure function, so that the same one can be tried on every rule in one process (benchmarks/attacks.py) and
act inside a real worker (tests/attacks/worker.py). The conformance suite `tests/unit/test_every_attack.py` holds every
attack to it.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from contract.sources.base import Batch

Tensors = Mapping[str, Tensor]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the colluders know when one of them uploads.

    `own` is what an honest worker would send for this unit, `first` what this one would have sent for its first.
    `honest` are gradients of this update that nobody forged, as far as the colluders have come by them; at least one,
    and in the same order for each of them. `seed` is another for each upload.
    """

    own: Tensors
    honest: Sequence[Tensors]
    first: Tensors
    num_gradients: int
    num_byzantine: int
    seed: int

    def mean(self) -> dict[str, Tensor]:
        return {name: _stacked(self.honest, name).mean(0) for name in self.own}

    def deviation(self) -> dict[str, Tensor]:
        """Of each coordinate, over the honest gradients; zero where only one is known."""
        return {name: _stacked(self.honest, name).std(0, correction=0) for name in self.own}

    def noise(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)


class Attack(abc.ABC):
    """A frozen dataclass with a name and a default for every option."""

    __slots__ = ()

    name: ClassVar[str]
    # Whether the admission refuses the upload, so that no rule ever sees it.
    is_refused: ClassVar[bool] = False

    def samples(self, batch: Batch, *, num_classes: int | None) -> Batch:
        """What the colluder computes on instead of the unit's samples."""
        return batch

    @abc.abstractmethod
    def forge(self, seen: Seen) -> dict[str, Tensor]:
        """The tensors to upload: new ones, with the names and shapes of `seen.own`."""


def scaled(tensors: Tensors, factor: float) -> dict[str, Tensor]:
    return {name: tensor * factor for name, tensor in tensors.items()}


def copied(tensors: Tensors) -> dict[str, Tensor]:
    return {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}


def _stacked(gradients: Sequence[Tensors], name: str) -> Tensor:
    return torch.stack([gradient[name] for gradient in gradients])
