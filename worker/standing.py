"""What became of the units that this worker delivered: the ledger knows, and is asked gently."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from typing import Final

from sqlalchemy import Connection

from contract.ids import Version
from worker import ledger
from worker.happenings import Report, Standing
from worker.heartbeat import Holdings
from worker.ledger import Joined, Lease, Settled

_ASKED_FOR_AT_A_TIME: Final = 200
_LOOKS_AROUND_EVERY_SECONDS: Final = 30.0


class Fates:
    """Counts from the moment of joining, and asks only for what it has not heard yet: it costs the same after a month
    as on the first day."""

    def __init__(self, joined: Joined, run: str, holdings: Holdings, report: Report) -> None:
        self._worker = joined.worker
        self._run = run
        self._holdings = holdings
        self._report = report
        self._lock = threading.Lock()
        self._waiting: dict[tuple[int, int], Lease] = {}
        self._num_accepted = 0
        self._not_used: Counter[str] = Counter()
        self._merged_up_to = joined.head_version or Version(0)
        self._num_accepted_of_all = 0
        self._num_workers: int | None = None
        self._is_led = True
        self._look_around_at = 0.0
        self._said: Standing | None = None
        # For whoever wants to know of each one; if nobody does, only the latest are kept.
        self.news: deque[Settled] = deque(maxlen=_ASKED_FOR_AT_A_TIME)

    def delivered(self, lease: Lease) -> None:
        with self._lock:
            self._waiting[lease.unit, lease.attempt] = lease

    def look(self, conn: Connection) -> None:
        self._hear_of_ours(conn)
        self._merged_up_to, merged = ledger.merged_since(conn, run=self._run, after=self._merged_up_to)
        self._num_accepted_of_all += merged
        # Whoever was told that nobody leads hears at once that somebody does: only a coordinator merges.
        looks_around = time.monotonic() >= self._look_around_at or (merged and not self._is_led)
        # Nobody wants to hear for long that they are alone when they are not, and one worker may ask at each heartbeat.
        if looks_around or self._num_workers == 1:
            self._num_workers = ledger.num_present(conn, run=self._run)
        if looks_around:
            self._is_led = ledger.is_led(conn, run=self._run)
            self._look_around_at = time.monotonic() + _LOOKS_AROUND_EVERY_SECONDS
        self._say()

    def _hear_of_ours(self, conn: Connection) -> None:
        with self._lock:
            asked = [lease.unit for lease in list(self._waiting.values())[:_ASKED_FOR_AT_A_TIME]]
        if not asked:
            return
        for fate in ledger.settled(conn, worker=self._worker, units=asked):
            with self._lock:
                if self._waiting.pop((fate.unit, fate.attempt), None) is None:
                    continue
            self.news.append(fate)
            if fate.was_used:
                self._num_accepted += 1
            else:
                self._not_used[in_short(fate.reason)] += 1

    def _say(self) -> None:
        with self._lock:
            num_waiting = len(self._waiting)
        standing = Standing(
            num_accepted=self._num_accepted,
            num_waiting=num_waiting,
            not_used=dict(self._not_used),
            num_accepted_of_all=self._num_accepted_of_all,
            num_workers=self._num_workers,
            run_state=self._holdings.run_state,
            is_led=self._is_led,
            version=self._merged_up_to,
        )
        if standing != self._said:
            self._said = standing
            self._report(standing)


def in_short(verdict: str) -> str:
    """Without the numbers of the single case, so that reasons of one kind can be counted: they follow a comma."""
    return verdict.split(", ")[0]
