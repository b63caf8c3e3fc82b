"""Vectors that are weighted sums of others, a stretch at a time: nobody ever holds a whole one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Final, Self

import numpy as np
import torch
from torch import Tensor

from contract.compressors.base import Floats
from coordinator.aggregators.compiled.machine import compiled_and_kept, floats
from coordinator.aggregators.compiled.products import Addresses, padded
from coordinator.aggregators.compiled.rows import Rows

# So much of sixteen vectors stays in a core's second cache until it is folded.
_LENGTH: Final = 2048
# Torch, which folds until machine code is ready and beyond what registers hold, takes a while to begin.
_LONG_LENGTH: Final = 16384


@compiled_and_kept
def _mix_four(addresses: Addresses, factors: Any, first: int, sums: Floats, number: int) -> None:
    """Adds four sums of four vectors."""
    r0, r1 = floats(addresses[0] + 4 * first, number), floats(addresses[1] + 4 * first, number)
    r2, r3 = floats(addresses[2] + 4 * first, number), floats(addresses[3] + 4 * first, number)
    s0, s1, s2, s3 = sums[0][:number], sums[1][:number], sums[2][:number], sums[3][:number]
    for i in range(number):
        x0, x1, x2, x3 = r0[i], r1[i], r2[i], r3[i]
        s0[i] = s0[i] + x0 * factors[0, 0] + x1 * factors[0, 1] + x2 * factors[0, 2] + x3 * factors[0, 3]
        s1[i] = s1[i] + x0 * factors[1, 0] + x1 * factors[1, 1] + x2 * factors[1, 2] + x3 * factors[1, 3]
        s2[i] = s2[i] + x0 * factors[2, 0] + x1 * factors[2, 1] + x2 * factors[2, 2] + x3 * factors[2, 3]
        s3[i] = s3[i] + x0 * factors[3, 0] + x1 * factors[3, 1] + x2 * factors[3, 2] + x3 * factors[3, 3]


@compiled_and_kept
def mix(addresses: Addresses, factors: Floats, first: int, sums: Floats, number: int) -> None:
    """sums[i] = sum over j of factors[i, j] x_j, of so many values of each vector from `first` on. There are a multiple
    of four of either."""
    sums[:, :number] = 0.0
    for row in range(0, len(factors), 4):
        for column in range(0, len(addresses), 4):
            square = factors[row : row + 4, column : column + 4]
            _mix_four(addresses[column : column + 4], square, first, sums[row : row + 4], number)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mixer:
    """Row i of `factors` says which sum the i-th of `num_rows` is. There are a multiple of four of either."""

    num_rows: int
    factors: Floats
    room: Floats

    @classmethod
    def of(cls, mixing: Tensor, *, is_long: bool) -> Self:
        num_rows, num_vectors = mixing.shape
        factors = np.zeros((num_rows + -num_rows % 4, num_vectors + -num_vectors % 4), dtype=np.float32)
        factors[:num_rows, :num_vectors] = mixing.numpy()
        room = np.empty((len(factors), _LONG_LENGTH if is_long else _LENGTH), dtype=np.float32)
        return cls(num_rows=num_rows, factors=factors, room=room)

    def stretches(self, rows: Rows, number: int) -> Iterator[tuple[int, Rows, Tensor]]:
        """Of the first `number` values of `rows`: where each stretch begins, and its mixed rows, twice. Their room is
        used again for the next."""
        addresses, length = padded(rows.addresses), self.room.shape[1]
        whole = torch.from_numpy(self.room)[: self.num_rows]
        mixed = Rows.of(list(whole), [1.0] * self.num_rows)
        for start in range(0, number, length):
            filled = min(length, number - start)
            mix(addresses, self.factors, start, self.room, filled)
            yield start, mixed, whole[:, :filled]
