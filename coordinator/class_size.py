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
