"""Which units are handed out next: pure arithmetic on their numbers, so that it can be read and tested alone."""

from __future__ import annotations

import bisect
from collections.abc import Iterable


class Pool:
    """The units of the run that nobody has, in order, by the numbers that `Cutting` gives them.

    What is cancelled or lost returns to its place, so every sample is used exactly once an epoch.
    """

    def __init__(self, *, num_units: int, taken: Iterable[int] = ()) -> None:
        held = set(taken)
        self._num_units = num_units
        self._fresh = max(held, default=-1) + 1
        self._returned = [number for number in range(self._fresh) if number not in held]

    @property
    def is_empty(self) -> bool:
        """All are handed out; what is lost now will come back."""
        return not self._returned and self._fresh >= self._num_units

    def take(self, count: int) -> list[int]:
        """The next ones; fewer when the last epoch ends."""
        taken = self._returned[:count]
        del self._returned[: len(taken)]
        fresh = range(self._fresh, min(self._fresh + count - len(taken), self._num_units))
        self._fresh += len(fresh)
        return [*taken, *fresh]

    def put_back(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            bisect.insort(self._returned, number)
