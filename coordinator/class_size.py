"""How many gradients make an update, for so many people."""

from __future__ import annotations

import bisect
from typing import Final

# Of n active workers, 30 to 50 %: fewer would make noisy updates, more would wait for the slowest laptop each time.
_POINTS: Final = ((1, 1), (2, 2), (5, 3), (10, 5), (20, 8), (30, 10), (60, 20))


def num_gradients_for(num_workers: int) -> int:
    """Straight lines between the points, and at most the last one's."""
    if num_workers <= 1:
        return 1
    sizes = [size for size, _ in _POINTS]
    at = bisect.bisect_left(sizes, num_workers)
    if at == len(_POINTS):
        return _POINTS[-1][1]
    (size_before, before), (size_after, after) = _POINTS[at - 1], _POINTS[at]
    return round(before + (after - before) * (num_workers - size_before) / (size_after - size_before))


def next_num_gradients(num_workers: int, *, before: int) -> int:
    """For the next round of a run that follows its class. It grows at once and shrinks for two workers less, so that
    one who comes and goes changes nothing; more gradients than workers are never asked for."""
    if num_workers == 0:
        return before
    least = num_gradients_for(num_workers)
    keeps = least <= before <= min(num_workers, num_gradients_for(num_workers + 1))
    return before if keeps else least
