"""What several threads meet of one and the same trouble, told once: when it begins and when it is over."""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from collections.abc import Callable

from contract.errors import DatabaseError

_LONGEST_PAUSE_SECONDS = 30.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """`error` is over; it lasted for `seconds`."""

    error: DatabaseError
    seconds: float


@dataclasses.dataclass(slots=True)
class _Trouble:
    error: DatabaseError
    since: float
    who: set[str]


class Troubles:
    def __init__(self, report: Callable[[object], None]) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._known: dict[type[DatabaseError], _Trouble] = {}
        self._failures: dict[str, int] = {}

    def met(self, who: str, error: DatabaseError) -> float:
        """The seconds after which to try again: longer each time, and never at one moment with everybody else."""
        with self._lock:
            known = self._known.get(type(error))
            if known is None:
                known = self._known[type(error)] = _Trouble(error, time.monotonic(), set())
                self._report(error)
            known.who.add(who)
            failures = self._failures[who] = self._failures.get(who, 0) + 1
        # Capped before the power: after days of failing it would overflow.
        return min(_LONGEST_PAUSE_SECONDS, 0.5 * 2.0 ** min(failures, 10)) * random.uniform(0.5, 1)  # noqa: S311

    def over(self, who: str) -> None:
        """`who` works again; what nobody meets any more is over."""
        with self._lock:
            if self._failures.pop(who, 0) == 0:
                return
            for kind, trouble in list(self._known.items()):
                trouble.who.discard(who)
                if not trouble.who:
                    del self._known[kind]
                    self._report(Recovered(error=trouble.error, seconds=time.monotonic() - trouble.since))
