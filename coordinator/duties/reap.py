"""Takes back what nobody works on any more: leases that are over, uploads whose lease has ended. And sees which units
failed for good, whoever gave them up."""

from __future__ import annotations

import dataclasses

from sqlalchemy import Connection, Engine

from contract.ids import GradientId, RunId, UnitId
from coordinator.ledger import gradients, runs, units


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    reopened: tuple[UnitId, ...]
    failed: tuple[units.Failure, ...]
    discarded: tuple[GradientId, ...]


# Lines of the log that are written at one time become visible in any order, so the last ones are read again.
_LINES_READ_AGAIN = 1000


@dataclasses.dataclass(slots=True, kw_only=True)
class Reap:
    engine: Engine
    run: RunId
    _told_up_to: int | None = None
    _told: frozenset[UnitId] = frozenset()

    def run_once(self) -> Report:
        with self.engine.begin() as conn:
            if self._told_up_to is None:
                # Whoever led before has told of what failed until now.
                self._told_up_to = units.last_event(conn)
                self._told = frozenset(failure.unit for failure in self._failures(conn, self._told_up_to))
            reaped = units.reap(conn, run=self.run)
            discarded = gradients.discard_stale_uploads(conn, run=self.run)
            end, failures = units.last_event(conn), self._failures(conn, self._told_up_to)
        news = tuple(failure for failure in failures if failure.unit not in self._told)
        self._told_up_to, self._told = end, frozenset(failure.unit for failure in failures)
        with self.engine.begin() as conn:
            runs.raise_claim_floor(conn, run=self.run)
        return Report(reopened=reaped.reopened, failed=news, discarded=tuple(discarded))

    def _failures(self, conn: Connection, told_up_to: int) -> list[units.Failure]:
        return units.failures_since(conn, run=self.run, event=told_up_to - _LINES_READ_AGAIN)
