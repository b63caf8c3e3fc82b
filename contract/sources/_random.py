"""Random numbers that are a pure function of (key, index, draw), in integers alone: equal on every machine."""

from __future__ import annotations

import hashlib
from typing import Final, TypeAlias

import numpy

Words: TypeAlias = numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.uint64]]
Integers: TypeAlias = numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.int64]]

_GOLDEN: Final = 0x9E3779B97F4A7C15
_ROUNDS: Final = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))


def key_of(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "little")


def mixed(words: Words) -> Words:
    """The finaliser of splitmix64, in place."""
    for shift, factor in _ROUNDS:
        words ^= words >> numpy.uint64(shift)
        if factor != 1:
            words *= numpy.uint64(factor)
    return words


class Draws:
    """One stream for each index; every call takes the next number of each."""

    def __init__(self, key: int, indices: Integers) -> None:
        start = indices.astype(numpy.uint64) * numpy.uint64(_GOLDEN)
        self._words = mixed(start + numpy.uint64(key))
        self._num_draws = 0

    def words(self) -> Words:
        self._num_draws += 1
        return mixed(self._words + numpy.uint64(self._num_draws * _GOLDEN % (1 << 64)))

    def integers(self, low: int, high: int) -> Integers:
        """Of low, low + 1 ... high."""
        share = self.words() >> numpy.uint64(32)
        return low + ((share * numpy.uint64(high - low + 1)) >> numpy.uint64(32)).astype(numpy.int64)

    def bell_bytes(self, count: int) -> numpy.ndarray[tuple[int, int], numpy.dtype[numpy.int32]]:
        """Sums of four random bytes, less their mean: nearly a normal curve, with a deviation of 147.8."""
        places = numpy.arange((count + 1) // 2, dtype=numpy.uint64) * numpy.uint64(_GOLDEN)
        words = mixed(self.words()[:, None] + places[None, :])
        pairs = words & numpy.uint64(0x00FF00FF00FF00FF)
        words >>= numpy.uint64(8)
        words &= numpy.uint64(0x00FF00FF00FF00FF)
        pairs += words
        # Lanes of 16 bits hold sums of two; the halves of each 32 are added by hand, whatever the byte order.
        low = (pairs & numpy.uint64(0xFFFF)) + ((pairs >> numpy.uint64(16)) & numpy.uint64(0xFFFF))
        high = ((pairs >> numpy.uint64(32)) & numpy.uint64(0xFFFF)) + (pairs >> numpy.uint64(48))
        sums = numpy.concatenate([low, high], axis=1).astype(numpy.int32)[:, :count]
        sums -= 510
        return sums
