"""The one reader of the database: however many look at a run, it is looked at once."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy import Connection, Engine

from contract.database import Notifications
from contract.errors import BarnraiseError, DatabaseError, NotFound
from coordinator.dashboard.channels import LINK, Channel, encoded

Look = Callable[[Connection, str], Mapping[str, bytes]]

_SHORTEST_PAUSE_SECONDS: Final = 0.4
_LONGEST_PAUSE_SECONDS: Final = 15.0
# A merge is told by a notification; what is not (a heartbeat, behind a pooler all of it) is seen with the next look.
_LOOK_EVERY_SECONDS: Final = 1.0
# Looking at a run of millions of units takes longer, and then happens less often.
_LARGEST_SHARE: Final = 0.2
# For whoever asks the API every few seconds, and keeps no stream open.
_KEPT_SECONDS: Final = 10.0
_MOST_RUNS: Final = 50


@dataclasses.dataclass(slots=True, kw_only=True)
class _Watched:
    channel: Channel
    wanted_until: float = 0.0
    lost_at: datetime.datetime | None = None


class Reader:
    """Looks while somebody wants to see, in a thread of its own; what it finds goes to the event loop.

    `on_fall` is told of an error that nobody expected: what was found last would be shown for ever.
    """

    def __init__(
        self,
        engine: Engine,
        look: Look,
        *,
        pooler: bool = False,
        kept_seconds: float = _KEPT_SECONDS,
        on_fall: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine, self._look, self._pooler, self._kept_seconds = engine, look, pooler, kept_seconds
        self._on_fall = on_fall
        self._watched: dict[str, _Watched] = {}
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._wanted = threading.Event()
        self._notifications: Notifications | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._live, name="dashboard reader", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._wanted.set()
        notifications = self._notifications
        if notifications is not None:
            notifications.close()
        self._thread.join(timeout=10)

    def channel(self, run: str) -> Channel:
        """Of a run that exists; it is looked at from now on, for a while."""
        with self._guard:
            if run not in self._watched:
                self._forget_some()
                self._watched[run] = _Watched(channel=Channel(run))
            watched = self._watched[run]
            watched.wanted_until = time.monotonic() + self._kept_seconds
        self._wanted.set()
        return watched.channel

    @property
    def num_viewers(self) -> int:
        with self._guard:
            return sum(watched.channel.num_viewers for watched in self._watched.values())

    def end_streams(self) -> None:
        """In the event loop's thread."""
        with self._guard:
            channels = [watched.channel for watched in self._watched.values()]
        for channel in channels:
            channel.close()

    def _forget_some(self) -> None:
        idle = [run for run, watched in self._watched.items() if not self._is_wanted(watched)]
        for run in idle[: max(0, len(self._watched) - _MOST_RUNS + 1)]:
            del self._watched[run]

    def _is_wanted(self, watched: _Watched) -> bool:
        return watched.channel.num_viewers > 0 or watched.wanted_until > time.monotonic()

    def _wanted_now(self) -> list[_Watched]:
        with self._guard:
            wanted = [watched for watched in self._watched.values() if self._is_wanted(watched)]
            if not wanted:
                self._wanted.clear()
        return wanted

    def _live(self) -> None:
        try:
            self._read()
        finally:
            if not self._stop.is_set():
                self._on_fall()

    def _read(self) -> None:
        while not self._stop.is_set():
            self._wanted.wait()
            if self._stop.is_set():
                return
            # Nobody may listen who does not read: the server keeps for them all that they were told.
            with contextlib.closing(Notifications(self._engine, pooler=self._pooler)) as notifications:
                self._notifications = notifications
                # Listening begins before the first look: what happens after that look is told.
                notifications.wait(0.0)
                while not self._stop.is_set() and (wanted := self._wanted_now()):
                    began = time.monotonic()
                    for watched in wanted:
                        self._look_at(watched)
                    self._rest(notifications, time.monotonic() - began)

    def _rest(self, notifications: Notifications, took_seconds: float) -> None:
        pause = took_seconds * (1 / _LARGEST_SHARE - 1)
        self._stop.wait(min(max(_SHORTEST_PAUSE_SECONDS, pause), _LONGEST_PAUSE_SECONDS))
        if not self._stop.is_set():
            notifications.wait(_LOOK_EVERY_SECONDS)

    def _look_at(self, watched: _Watched) -> None:
        try:
            with self._engine.connect() as conn:
                sections = dict(self._look(conn, watched.channel.run))
        except (DatabaseError, NotFound) as error:
            watched.lost_at = watched.lost_at or datetime.datetime.now(datetime.UTC)
            self._publish(watched.channel, {LINK: _away(error, since=watched.lost_at)})
            return
        watched.lost_at = None
        self._publish(watched.channel, {**sections, LINK: _HERE})

    def _publish(self, channel: Channel, sections: Mapping[str, bytes]) -> None:
        assert self._loop is not None
        # The loop may have been closed by Ctrl-C in between.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(channel.publish, sections)


_HERE: Final = encoded({"database": "here", "since": None, "problem": None})


def _away(error: BarnraiseError, *, since: datetime.datetime) -> bytes:
    # What the server itself said may name hosts and logins; that is for the terminal, not for the room.
    return encoded({"database": "away", "since": since, "problem": str(type(error)())})
