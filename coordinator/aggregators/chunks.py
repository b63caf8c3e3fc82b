"""A group's tensors in stretches of one length, across the tensors' borders: many small ones cost no more than a large
one, and the stretches depend on the group and on one number alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from torch import Tensor

from coordinator.aggregators.base import Contribution

# Stretches are whole multiples of it; a part of the Gram matrix is formed over so many values.
BLOCK_VALUES: Final = 2048


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Values `start` to `stop` of a tensor; they begin at `at` of the stretch."""

    name: str
    start: int
    stop: int
    at: int

    @property
    def place(self) -> slice:
        return slice(self.at, self.at + self.stop - self.start)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    sizes: Mapping[str, int]
    length: int

    @classmethod
    def of(cls, sizes: Mapping[str, int], *, num_vectors: int, values_at_a_time: int) -> Layout:
        blocks = values_at_a_time // (BLOCK_VALUES * _power_of_two(num_vectors))
        return cls(sizes=sizes, length=BLOCK_VALUES * max(1, blocks))

    def stretches(self) -> Iterator[list[Piece]]:
        """In the order of the bytes of a blob, which is laid out by name: so reading goes on from front to end."""
        stretch: list[Piece] = []
        filled = 0
        for name in sorted(self.sizes):
            start, size = 0, self.sizes[name]
            while start < size:
                stop = min(size, start + self.length - filled)
                stretch.append(Piece(name=name, start=start, stop=stop, at=filled))
                filled += stop - start
                start = stop
                if filled == self.length:
                    yield stretch
                    stretch, filled = [], 0
        if stretch:
            yield stretch


def read_rows(contributions: Sequence[Contribution], stretch: Sequence[Piece], rows: Tensor) -> int:
    """Fills the front of each row; answers with how many values."""
    for row, contribution in enumerate(contributions):
        for piece in stretch:
            contribution.read_into(piece.name, piece.start, piece.stop, rows[row, piece.place])
    last = stretch[-1]
    return last.at + last.stop - last.start


def _power_of_two(number: int) -> int:
    return 1 << max(0, number - 1).bit_length()
