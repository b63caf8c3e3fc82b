"""Which codec of the run's ladder a gradient is sent with: the least lossy whose upload hides behind the computation of
a unit. Pure arithmetic on what the last uploads took."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

_REMEMBERED: Final = 8
# Of a unit's time an upload may take so much; a better codec is tried where it would take no more than the smaller
# share, so that an upload of nearly the limit does not have them take turns.
_LIMIT: Final = 0.9
_COMFORT: Final = 0.6
_FIRST_PATIENCE: Final = 8
_LONGEST_PATIENCE: Final = 512


class Uplink:
    """`sizes` are the bytes of a gradient in each codec of the ladder, the least lossy first."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = sizes
        # Seconds that any call takes, however little it carries; None until somebody measured it.
        self.round_trip: float | None = None
        self._uploads: deque[tuple[int, float]] = deque(maxlen=_REMEMBERED)
        self._unit_seconds: deque[float] = deque(maxlen=_REMEMBERED)
        # By rung: how many gradients to wait before it is tried again, once it has failed; and how many are left.
        self._patience = [_FIRST_PATIENCE] * len(sizes)
        self._waits = [0] * len(sizes)
        # The middle of the ladder errs by as little as any, whatever the line.
        self.rung = len(sizes) // 2
        self._num_held = 0

    @property
    def has_a_choice(self) -> bool:
        return len(self._sizes) > 1

    @property
    def bytes_per_second(self) -> float | None:
        if not self._uploads:
            return None
        return sum(num_bytes for num_bytes, _ in self._uploads) / sum(seconds for _, seconds in self._uploads)

    def computed(self, seconds: float) -> None:
        self._unit_seconds.append(seconds)

    def uploaded(self, num_bytes: int, seconds: float, *, num_calls: int = 1) -> None:
        # What is left of the time may be next to nothing where it was all waiting.
        self._uploads.append((num_bytes, max(seconds - num_calls * (self.round_trip or 0.0), 0.01 * seconds, 1e-6)))

    def choose(self) -> int:
        """The rung for the next gradient. Down at once to where it fits; up one at a time, and more patiently after
        each time that it did not last."""
        rate = self.bytes_per_second
        if rate is None or not self._unit_seconds:
            return self.rung
        unit_seconds = sum(self._unit_seconds) / len(self._unit_seconds)
        shares = [(size / rate + (self.round_trip or 0.0)) / unit_seconds for size in self._sizes]
        self._waits = [max(0, left - 1) for left in self._waits]
        self._num_held += 1
        if self._num_held >= self._patience[self.rung]:
            self._patience[self.rung] = _FIRST_PATIENCE
        above = self.rung - 1
        if shares[self.rung] > _LIMIT:
            fitting = [rung for rung in range(self.rung, len(shares)) if shares[rung] <= _LIMIT]
            self._go_down(fitting[0] if fitting else len(shares) - 1)
        elif above >= 0 and shares[above] <= _COMFORT and not self._waits[above]:
            self._go_to(above)
        return self.rung

    def _go_down(self, rung: int) -> None:
        for failed in range(self.rung, rung):
            self._waits[failed] = self._patience[failed]
            self._patience[failed] = min(2 * self._patience[failed], _LONGEST_PATIENCE)
        self._go_to(rung)

    def _go_to(self, rung: int) -> None:
        if rung != self.rung:
            self.rung, self._num_held = rung, 0
