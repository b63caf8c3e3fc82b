"""Where the values of several contributions lie, for machine code that goes through all of them side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from contract.compressors.base import Floats
from coordinator.aggregators.base import Contribution
from coordinator.aggregators.chunks import Piece


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """`addresses` are good for as long as the rows are `held`. `factors` are still to be applied."""

    addresses: npt.NDArray[np.int64]
    factors: Floats
    held: Sequence[Tensor | Floats]

    @classmethod
    def of(cls, held: Sequence[Tensor | Floats], factors: Sequence[float]) -> Self:
        return cls(
            addresses=np.array([_address(row) for row in held], dtype=np.int64),
            factors=np.array(factors, dtype=np.float32),
            held=held,
        )


def _address(row: Tensor | Floats) -> int:
    found: int = row.data_ptr() if isinstance(row, Tensor) else row.__array_interface__["data"][0]
    return found


@dataclasses.dataclass(slots=True, kw_only=True)
class Reader:
    """Finds the rows of a piece: a codec that keeps values as they are shows them where they lie, any other decodes
    them into room that lasts until the next piece is read."""

    contributions: Sequence[Contribution]
    length: int
    _room: list[Tensor | None] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self._room = [None] * len(self.contributions)

    def pieces(self, stretch: Sequence[Piece]) -> Iterator[tuple[Piece, Rows]]:
        factors = [contribution.factor for contribution in self.contributions]
        for piece in stretch:
            held = [self._row(place, piece) for place in range(len(self.contributions))]
            yield piece, Rows.of(held, factors)
            # Whoever still has the rows does not keep what they show: the next piece takes as much again.
            held.clear()

    def _row(self, place: int, piece: Piece) -> Tensor | Floats:
        decoder = self.contributions[place].decoder
        there = decoder.in_place(piece.name, piece.start, piece.stop)
        if there is not None:
            return there
        room = self._room[place]
        if room is None:
            room = self._room[place] = torch.empty(self.length, dtype=torch.float32)
        found = room[piece.place]
        decoder.read_into(piece.name, piece.start, piece.stop, found)
        return found
