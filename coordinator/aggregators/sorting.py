"""Sorting many short columns at once: Batcher's network of comparators, each a minimum and a maximum of two rows.

A sort looks at one column after another; a comparator goes over whole rows at the speed of memory. Sixteen rows take 63
of them, and fewer where only some places of the order are wanted.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Iterator

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Comparator:
    """Afterwards the smaller value is at `low`, the larger at `high`, as far as anybody wants them."""

    low: int
    high: int
    wants_low: bool
    wants_high: bool


@functools.lru_cache(maxsize=256)
def network(num_rows: int, wanted: frozenset[int]) -> tuple[Comparator, ...]:
    """What brings the `wanted` places of the order to where they belong."""
    live = set(wanted)
    kept = []
    for low, high in reversed([*_odd_even_merges(num_rows)]):
        if low in live or high in live:
            kept.append(Comparator(low=low, high=high, wants_low=low in live, wants_high=high in live))
            live |= {low, high}
    return tuple(reversed(kept))


def sort_rows(rows: list[Tensor], spare: Tensor, wanted: Collection[int]) -> Tensor:
    """Sorts columns in place: afterwards the list has the rows in their order, as far as they are `wanted`, and what is
    answered is the room that is spare now."""
    for comparator in network(len(rows), frozenset(wanted)):
        low, high = rows[comparator.low], rows[comparator.high]
        if comparator.wants_low and comparator.wants_high:
            torch.minimum(low, high, out=spare)
            torch.maximum(low, high, out=high)
            # No row is copied: the room of the smaller values is spare from here on.
            rows[comparator.low], spare = spare, low
        elif comparator.wants_low:
            torch.minimum(low, high, out=low)
        else:
            torch.maximum(low, high, out=high)
    return spare


def _odd_even_merges(num_rows: int) -> Iterator[tuple[int, int]]:
    """Batcher's odd-even mergesort (Knuth, volume 3, 5.2.2, algorithm M), for any number of rows."""
    run = 1
    while run < num_rows:
        step = run
        while step:
            for first in range(step % run, num_rows - step, 2 * step):
                for low in range(first, min(first + step, num_rows - step)):
                    if low // (2 * run) == (low + step) // (2 * run):
                        yield low, low + step
            step //= 2
        run *= 2
