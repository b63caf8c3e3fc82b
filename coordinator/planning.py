"""Which samples are handed out next: pure arithmetic on ranges, so that it can be read and tested alone."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Iterable, Iterator


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Range:
    """Samples `first` to `first + num - 1` of the epoch's order."""

    epoch: int
    first: int
    num: int


class Pool:
    """The ranges of the run that nobody has, in order. What is cancelled or lost returns to its place.

    Each range of an epoch is handed out once at a time, so every sample is used exactly once an epoch; the next
    epoch's ranges follow when the present one's are handed out.
    """

    def __init__(self, *, num_samples: int, unit_samples: int, num_epochs: int, taken: Iterable[Range] = ()) -> None:
        self._num_samples = num_samples
        self._unit_samples = unit_samples
        self._num_epochs = num_epochs
        self._returned: list[Range] = []
        held = set(taken)
        self._next_epoch = max((range_.epoch for range_ in held), default=-1) + 1
        for epoch in range(self._next_epoch):
            self._returned += (range_ for range_ in self._ranges(epoch) if range_ not in held)
        self._fresh = iter(())  # type: Iterator[Range]

    @property
    def units_per_epoch(self) -> int:
        return -(-self._num_samples // self._unit_samples)

    @property
    def is_empty(self) -> bool:
        """All epochs are handed out; what is lost now will come back to it."""
        range_ = self._next()
        if range_ is None:
            return True
        self.put_back([range_])
        return False

    def take(self, count: int) -> list[Range]:
        """The next ranges; fewer when the last epoch ends, none when it is over."""
        taken: list[Range] = []
        while len(taken) < count:
            range_ = self._next()
            if range_ is None:
                break
            taken.append(range_)
        return taken

    def put_back(self, ranges: Iterable[Range]) -> None:
        for range_ in ranges:
            bisect.insort(self._returned, range_)

    def _next(self) -> Range | None:
        if self._returned:
            return self._returned.pop(0)
        while (range_ := next(self._fresh, None)) is None:
            if self._next_epoch >= self._num_epochs:
                return None
            self._fresh = self._ranges(self._next_epoch)
            self._next_epoch += 1
        return range_

    def _ranges(self, epoch: int) -> Iterator[Range]:
        for first in range(0, self._num_samples, self._unit_samples):
            yield Range(epoch=epoch, first=first, num=min(self._unit_samples, self._num_samples - first))
