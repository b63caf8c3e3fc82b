"""Signs of life, on a thread and a connection of their own: the main one may sit in a long computation or upload."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, Engine

from contract.errors import DatabaseError, LedgerRefusal
from contract.ids import UnitId, Version, WorkerId
from contract.states import RunState
from worker import ledger
from worker.ledger import Lease

_LOOKS_EVERY_SECONDS: Final = 3.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """What the next heartbeat says."""

    phase: str = "waiting"
    progress: float | None = None
    samples_per_second: float | None = None


class Holdings:
    """The leases this worker holds, and what it has heard of them. Shared by all its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leases: dict[UnitId, Lease] = {}
        self._dropped: dict[UnitId, str] = {}
        self.vitals = Vitals()
        self.run_state = RunState.RUNNING
        self.head: Version | None = None

    def add(self, lease: Lease) -> None:
        with self._lock:
            self._leases[lease.unit] = lease
            self._dropped.pop(lease.unit, None)

    def remove(self, lease: Lease) -> None:
        with self._lock:
            self._leases.pop(lease.unit, None)

    def leases(self) -> list[Lease]:
        with self._lock:
            return list(self._leases.values())

    def drop(self, unit: UnitId, reason: str) -> None:
        with self._lock:
            if self._leases.pop(unit, None) is not None:
                self._dropped[unit] = reason

    def why_dropped(self, lease: Lease) -> str | None:
        """Asked before every batch: nobody should heat a room for a unit that is not needed."""
        with self._lock:
            return self._dropped.get(lease.unit)


class Heartbeat:
    """`look` is what else there is to ask of the ledger now and then, on the same connection."""

    def __init__(
        self,
        engine: Engine,
        worker: WorkerId,
        holdings: Holdings,
        *,
        every_seconds: float,
        look: Callable[[Connection], None] | None = None,
    ) -> None:
        self._engine = engine
        self._worker = worker
        self._holdings = holdings
        self._every_seconds = every_seconds
        self._look = look
        self._stop = threading.Event()
        self._soon = threading.Event()
        self.refusal: LedgerRefusal | None = None
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._soon.set()
        self._thread.join(timeout=10)

    def beat_soon(self) -> None:
        """Whoever hears of a new version asks what became of the units in hand."""
        self._soon.set()

    def _run(self) -> None:
        asked, due = True, 0.0
        while not self._stop.is_set():
            try:
                if asked or time.monotonic() >= due:
                    self.beat()
                    due = time.monotonic() + self._every_seconds
                if self._look is not None:
                    with self._engine.begin() as conn:
                        self._look(conn)
            except DatabaseError:
                # The lease outlives three missed beats; the session's own connection says what is wrong.
                pass
            except LedgerRefusal as refusal:
                self.refusal = refusal
                for lease in self._holdings.leases():
                    self._holdings.drop(lease.unit, str(refusal))
                return
            asked = self._soon.wait(min(self._every_seconds, _LOOKS_EVERY_SECONDS))
            self._soon.clear()

    def beat(self) -> None:
        holdings = self._holdings
        vitals = holdings.vitals
        with self._engine.begin() as conn:
            directives = ledger.heartbeat(
                conn,
                worker=self._worker,
                leases=holdings.leases(),
                phase=vitals.phase,
                progress=vitals.progress,
                samples_per_second=vitals.samples_per_second,
            )
        for unit in directives.lost:
            holdings.drop(unit, "its lease passed to somebody else")
        for unit in directives.cancelled:
            holdings.drop(unit, "it was overtaken by a new version")
        holdings.run_state = directives.run_state
        holdings.head = directives.head_version
