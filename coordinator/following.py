"""Reads the log of a ledger as it grows: each event once, whatever happens to the database meanwhile."""

from __future__ import annotations

import dataclasses
import datetime
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from sqlalchemy import Connection, Engine

from contract.database import Notifications
from contract.errors import (
    DatabaseError,
    DatabaseFull,
    DatabaseReadOnly,
    DatabaseUnreachable,
    ServerInTrouble,
    StatementEnded,
    TooManyConnections,
)
from coordinator.ledger.events import later_told, newest_told
from coordinator.ledger.views import LoggedEvent
from coordinator.troubles import Recovered, Troubles

# Troubles that pass by themselves. A login that is refused stays refused.
PASSING: Final = (
    DatabaseUnreachable,
    TooManyConnections,
    ServerInTrouble,
    StatementEnded,
    DatabaseFull,
    DatabaseReadOnly,
)
# An event gets its number when it is written and is seen when its transaction ends: a later number may come first.
_LOOKS_BACK: Final = datetime.timedelta(seconds=30)
_REMEMBERED: Final = 5_000
_AT_A_TIME: Final = 10_000
_WAIT_SECONDS: Final = 2.0
_SHORTEST_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 5.0
# Reading a log that grows by thousands of lines a second takes longer, and then happens less often.
_LARGEST_SHARE: Final = 0.05


@dataclasses.dataclass(slots=True, kw_only=True)
class Log:
    """The log of a run; with `everything` also what nobody would want to hear of."""

    run: str
    everything: bool = False
    _floor: int = 0
    _seen: dict[int, datetime.datetime] = dataclasses.field(default_factory=dict)

    @property
    def num_remembered(self) -> int:
        return len(self._seen)

    def open(self, conn: Connection, *, limit: int) -> list[LoggedEvent]:
        """The newest so many, the oldest of them first. Reading goes on from here."""
        found = newest_told(conn, run=self.run, limit=max(1, limit), everything=self.everything)
        if found:
            self._floor = found[-1].event - 1
            self._remember(found)
        return found[:limit][::-1]

    def more(self, conn: Connection) -> list[LoggedEvent]:
        found = later_told(conn, run=self.run, after=self._floor, limit=_AT_A_TIME, everything=self.everything)
        fresh = [event for event in found if event.event not in self._seen]
        self._remember(fresh)
        return fresh

    def _remember(self, events: Sequence[LoggedEvent]) -> None:
        self._seen.update((event.event, event.at) for event in events)
        if not self._seen:
            return
        horizon = max(self._seen.values()) - _LOOKS_BACK
        numbers = sorted(self._seen)
        for place, number in enumerate(numbers):
            if self._seen[number] >= horizon and len(numbers) - place <= _REMEMBERED:
                break
            del self._seen[number]
            self._floor = number


def follow(
    engine: Engine,
    log: Log,
    notifications: Notifications,
    *,
    report: Callable[[object], None],
    stop: threading.Event,
) -> Iterator[list[LoggedEvent]]:
    """What is new, for ever: soon after the ledger hints that something happened, else every few seconds.

    `report` hears of trouble that passes (a `DatabaseError`) and of its end (`Recovered`); any other is raised.
    """
    troubles = Troubles(report)
    while not stop.is_set():
        began = time.monotonic()
        try:
            with engine.begin() as conn:
                fresh = log.more(conn)
        except PASSING as error:
            stop.wait(min(_LONGEST_PAUSE_SECONDS, troubles.met("log", error)))
            continue
        troubles.over("log")
        yield fresh
        stop.wait(max(_SHORTEST_PAUSE_SECONDS, (time.monotonic() - began) * (1 / _LARGEST_SHARE - 1)))
        notifications.wait(_WAIT_SECONDS)


def trouble_in_words(report: object) -> str | None:
    """Of what `follow` reports."""
    match report:
        case DatabaseError():
            return f"waiting for the database: {str(report).splitlines()[0]}"
        case Recovered():
            return f"the database answers again, after {report.seconds:.0f} s"
        case _:
            return None
