"""Sorting columns of any number of rows, or while the fold that would not need it is still being compiled."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from torch import Tensor

from contract.compressors.base import Floats
from coordinator.aggregators.compiled.machine import compiled_and_kept
from coordinator.aggregators.sorting import network

# So many columns of a hundred rows stay in a core's first cache through all comparators.
_TILE: Final = 64


def sort_rows(rows: Tensor, wanted: Collection[int]) -> None:
    """Afterwards the `wanted` rows are those of the order; what is in the others nobody knows."""
    comparators = network(len(rows), frozenset(wanted))
    pairs = np.array([(one.low, one.high) for one in comparators], dtype=np.int64).reshape(-1, 2)
    _sort(rows.numpy(), pairs, np.array(sorted(wanted), dtype=np.int64))


@compiled_and_kept
def _sort(rows: Floats, pairs: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64]) -> None:
    # Side by side: where rows lie a power of two apart, they would push each other out of the cache.
    tile = np.zeros((len(rows), _TILE), dtype=np.float32)
    for first in range(0, rows.shape[1], _TILE):
        number = min(_TILE, rows.shape[1] - first)
        for row in range(len(rows)):
            tile[row, :number] = rows[row, first : first + number]
        for pair in range(len(pairs)):
            _compare(tile[pairs[pair, 0]], tile[pairs[pair, 1]])
        for row in wanted:
            rows[row, first : first + number] = tile[row, :number]


@compiled_and_kept
def _compare(low: Any, high: Any) -> None:
    for place in range(_TILE):
        one, other = low[place], high[place]
        is_less = one < other
        low[place] = one if is_less else other
        high[place] = other if is_less else one
