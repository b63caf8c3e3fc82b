"""Inner products, distances and weighted sums, over the values of one piece."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from contract.compressors.base import Floats
from coordinator.aggregators.compiled.machine import compiled_and_kept, compiled_in_lanes, floats

# So many values of each vector stay in a core's second cache while all pairs of vectors are formed.
_PAIRED_VALUES: Final = 8192
# So many sums stay in a cache while the vectors pass by; shorter stretches of each are read less far ahead.
_SUMMED_VALUES: Final = 8192

Doubles = npt.NDArray[np.float64]
Addresses = npt.NDArray[np.int64]


@compiled_in_lanes
def _four_by_four(left: Addresses, right: Addresses, first: int, number: int, sums: Doubles) -> None:
    here, there = 4 * first + left, 4 * first + right
    a0, a1, a2, a3 = floats(here[0], number), floats(here[1], number), floats(here[2], number), floats(here[3], number)
    b0, b1, b2, b3 = (
        floats(there[0], number), floats(there[1], number), floats(there[2], number), floats(there[3], number),
    )  # fmt: skip
    s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = 0.0
    for place in range(number):
        x0, x1, x2, x3 = np.float64(a0[place]), np.float64(a1[place]), np.float64(a2[place]), np.float64(a3[place])
        y = np.float64(b0[place])
        s00, s10, s20, s30 = s00 + x0 * y, s10 + x1 * y, s20 + x2 * y, s30 + x3 * y
        y = np.float64(b1[place])
        s01, s11, s21, s31 = s01 + x0 * y, s11 + x1 * y, s21 + x2 * y, s31 + x3 * y
        y = np.float64(b2[place])
        s02, s12, s22, s32 = s02 + x0 * y, s12 + x1 * y, s22 + x2 * y, s32 + x3 * y
        y = np.float64(b3[place])
        s03, s13, s23, s33 = s03 + x0 * y, s13 + x1 * y, s23 + x2 * y, s33 + x3 * y
    sums[0, 0] += s00
    sums[0, 1] += s01
    sums[0, 2] += s02
    sums[0, 3] += s03
    sums[1, 0] += s10
    sums[1, 1] += s11
    sums[1, 2] += s12
    sums[1, 3] += s13
    sums[2, 0] += s20
    sums[2, 1] += s21
    sums[2, 2] += s22
    sums[2, 3] += s23
    sums[3, 0] += s30
    sums[3, 1] += s31
    sums[3, 2] += s32
    sums[3, 3] += s33


@compiled_in_lanes
def _four_among_themselves(rows: Addresses, first: int, number: int, sums: Doubles) -> None:
    """Above the diagonal and on it."""
    here = 4 * first + rows
    a0, a1, a2, a3 = floats(here[0], number), floats(here[1], number), floats(here[2], number), floats(here[3], number)
    s00 = s01 = s02 = s03 = s11 = s12 = s13 = s22 = s23 = s33 = 0.0
    for place in range(number):
        x0, x1, x2, x3 = np.float64(a0[place]), np.float64(a1[place]), np.float64(a2[place]), np.float64(a3[place])
        s00, s01, s02, s03 = s00 + x0 * x0, s01 + x0 * x1, s02 + x0 * x2, s03 + x0 * x3
        s11, s12, s13 = s11 + x1 * x1, s12 + x1 * x2, s13 + x1 * x3
        s22, s23, s33 = s22 + x2 * x2, s23 + x2 * x3, s33 + x3 * x3
    sums[0, 0] += s00
    sums[0, 1] += s01
    sums[0, 2] += s02
    sums[0, 3] += s03
    sums[1, 1] += s11
    sums[1, 2] += s12
    sums[1, 3] += s13
    sums[2, 2] += s22
    sums[2, 3] += s23
    sums[3, 3] += s33


@compiled_and_kept
def add_products(addresses: Addresses, number: int, sums: Doubles) -> None:
    """sums += X X^T, above its diagonal and on it, for as many vectors as sums has room for. There are a multiple of
    four; whoever has fewer repeats one."""
    for first in range(0, number, _PAIRED_VALUES):
        stop = min(first + _PAIRED_VALUES, number)
        for row in range(0, len(addresses), 4):
            _four_among_themselves(addresses[row : row + 4], first, stop - first, sums[row : row + 4, row : row + 4])
            for column in range(row + 4, len(addresses), 4):
                _four_by_four(
                    addresses[row : row + 4], addresses[column : column + 4],
                    first, stop - first, sums[row : row + 4, column : column + 4],
                )  # fmt: skip


@compiled_in_lanes
def _add_four_squares(rows: Addresses, factors: Floats, first: int, centre: Floats, squares: Doubles) -> None:
    number, here = len(centre), 4 * first + rows
    a0, a1, a2, a3 = floats(here[0], number), floats(here[1], number), floats(here[2], number), floats(here[3], number)
    f0, f1, f2, f3 = factors[0], factors[1], factors[2], factors[3]
    s0 = s1 = s2 = s3 = 0.0
    for place in range(number):
        middle = np.float64(centre[place])
        d0, d1 = np.float64(a0[place] * f0) - middle, np.float64(a1[place] * f1) - middle
        d2, d3 = np.float64(a2[place] * f2) - middle, np.float64(a3[place] * f3) - middle
        s0, s1, s2, s3 = s0 + d0 * d0, s1 + d1 * d1, s2 + d2 * d2, s3 + d3 * d3
    squares[0] += s0
    squares[1] += s1
    squares[2] += s2
    squares[3] += s3


@compiled_and_kept
def add_squares_from(addresses: Addresses, factors: Floats, centre: Floats, squares: Doubles) -> None:
    """squares[i] += |factor_i x_i - centre|^2, for a multiple of four vectors."""
    for first in range(0, len(centre), _PAIRED_VALUES):
        there = centre[first : first + _PAIRED_VALUES]
        for row in range(0, len(addresses), 4):
            end = row + 4
            _add_four_squares(addresses[row:end], factors[row:end], first, there, squares[row:end])


@compiled_and_kept
def _add_four(addresses: Addresses, shares: Floats, first: int, sums: Floats) -> None:
    number = len(sums)
    x0, x1 = floats(addresses[0] + 4 * first, number), floats(addresses[1] + 4 * first, number)
    x2, x3 = floats(addresses[2] + 4 * first, number), floats(addresses[3] + 4 * first, number)
    for place in range(number):
        total = sums[place] + x0[place] * shares[0]
        total += x1[place] * shares[1]
        total += x2[place] * shares[2]
        sums[place] = total + x3[place] * shares[3]


@compiled_and_kept
def add_weighted(addresses: Addresses, shares: Floats, sums: Floats, begins: bool) -> None:
    """sums += share_i x_i, one vector after another, each product and its sum rounded once; where it `begins`, to zero,
    whatever is there."""
    number, fours = len(sums), len(addresses) // 4 * 4
    for first in range(0, number, _SUMMED_VALUES):
        stop = min(first + _SUMMED_VALUES, number)
        if begins:
            sums[first:stop] = 0.0
        for row in range(0, fours, 4):
            _add_four(addresses[row : row + 4], shares[row : row + 4], first, sums[first:stop])
        for row in range(fours, len(addresses)):
            values, share = floats(addresses[row] + 4 * first, stop - first), shares[row]
            for place in range(stop - first):
                sums[first + place] += values[place] * share


def padded(addresses: Addresses) -> Addresses:
    """To a multiple of four."""
    return np.concatenate([addresses, np.repeat(addresses[-1:], -len(addresses) % 4)])
