"""In which order an epoch visits the samples: a permutation that anybody can compute a range of.

The permutation is a Feistel cipher on the next power of four, walked until it lands below the number of samples. So a
unit costs what its own range costs, however many samples there are, and the order is the same on every machine.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_ROUNDS: Final = 8
_MASK: Final = (1 << 64) - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15
_FIRST: Final = 0xBF58476D1CE4E5B9
_SECOND: Final = 0x94D049BB133111EB


def mixed(*numbers: int) -> int:
    """One number below 2^63 that any change of these numbers changes (splitmix64, folded)."""
    value = 0
    for number in numbers:
        value = (value ^ (number & _MASK)) + _GOLDEN & _MASK
        value = (value ^ value >> 30) * _FIRST & _MASK
        value = (value ^ value >> 27) * _SECOND & _MASK
        value ^= value >> 31
    return value >> 1


def unit_seed(*, run_seed: int, epoch: int, first_sample: int) -> int:
    """What decides the noise of a unit; below 2^63, as the ledger's bigint wants it."""
    return mixed(run_seed, 1, epoch, first_sample)


def sample_indices(*, run_seed: int, epoch: int, first: int, count: int, num_samples: int) -> NDArray[np.int64]:
    """Which samples stand at places `first` to `first + count` of this epoch's order."""
    if not 0 <= first <= first + count <= num_samples:
        raise ValueError(f"places {first} to {first + count} lie outside an epoch of {num_samples} samples")
    half_bits = max(1, ((num_samples - 1).bit_length() + 1) // 2)
    keys = [mixed(run_seed, 2, epoch, turn) for turn in range(_ROUNDS)]
    places = np.arange(first, first + count, dtype=np.uint64)
    outside = np.ones(count, dtype=np.bool_)
    while outside.any():
        places[outside] = _shuffled(places[outside], half_bits, keys)
        outside = places >= np.uint64(num_samples)
    return places.astype(np.int64)


def _shuffled(values: NDArray[np.uint64], half_bits: int, keys: list[int]) -> NDArray[np.uint64]:
    shift, mask = np.uint64(half_bits), np.uint64((1 << half_bits) - 1)
    left, right = values >> shift, values & mask
    for key in keys:
        left, right = right, left ^ (_scrambled(right + np.uint64(key)) & mask)
    return left << shift | right


def _scrambled(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = (values ^ values >> np.uint64(30)) * np.uint64(_FIRST)
    values = (values ^ values >> np.uint64(27)) * np.uint64(_SECOND)
    return values ^ values >> np.uint64(31)
