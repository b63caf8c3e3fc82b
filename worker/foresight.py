"""When to claim the next unit: late, so that it is computed on a young version, and early enough that the device never
waits for it. Pure arithmetic on what the last ones took."""

from __future__ import annotations

from collections import deque
from typing import Final

_REMEMBERED: Final = 8
# A claim that comes too early costs freshness, one that comes too late costs the device's time.
_MARGIN: Final = 1.5


class Foresight:
    def __init__(self) -> None:
        self._unit_seconds: deque[float] = deque(maxlen=_REMEMBERED)
        self._claim_seconds: deque[float] = deque(maxlen=_REMEMBERED)

    def computed(self, seconds: float) -> None:
        self._unit_seconds.append(seconds)

    def claimed(self, seconds: float) -> None:
        """From asking for a unit until its weights and samples are here."""
        self._claim_seconds.append(seconds)

    def pause(self) -> float:
        """So many seconds into a unit the next one should be asked for; at once while nothing is known."""
        if not self._unit_seconds or not self._claim_seconds:
            return 0.0
        return max(0.0, min(self._unit_seconds) - _MARGIN * max(self._claim_seconds))
