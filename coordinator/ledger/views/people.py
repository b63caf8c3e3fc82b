"""Who takes part, and what became of what they did."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Final

from sqlalchemy import Connection

from contract.ids import UnitId, WorkerId
from coordinator.ledger.views.selecting import records, select


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A person's line of the leaderboard. `num_workers` are here now; shares are None where there is nothing yet."""

    place: int
    volunteer: str
    display_name: str
    num_units_merged: int
    num_samples_merged: int
    share_of_run: float | None
    seconds_computing: float
    share_accepted: float | None
    num_workers: int
    is_present: bool
    first_at: datetime.datetime | None
    last_at: datetime.datetime | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MyContribution(Place):
    num_submitted: int
    num_stale: int
    num_refused: int
    num_late: int
    mean_weight: float | None
    raw_bytes: int
    coded_bytes: int
    sent_bytes: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SeenWorker:
    volunteer: str
    display_name: str
    worker: WorkerId
    worker_name: str
    host: str | None
    device: str | None
    joined_at: datetime.datetime
    left_at: datetime.datetime | None
    left_reason: str | None
    last_seen_at: datetime.datetime | None
    is_present: bool
    phase: str | None
    progress: float | None
    samples_per_second: float | None
    units: list[UnitId] | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """Of one worker's gradients. `share_accepted` is of those whose fate is known."""

    volunteer: str
    worker: WorkerId
    num_submitted: int
    num_merged: int
    num_stale: int
    num_refused: int
    num_late: int
    share_accepted: float | None
    mean_staleness: float | None
    num_samples_merged: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SentBytes:
    volunteer: str
    worker: WorkerId
    num_gradients: int
    raw_bytes: int
    coded_bytes: int
    sent_bytes: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A worker to have a look at, and why."""

    volunteer: str
    worker: WorkerId
    worker_name: str
    num_submitted: int
    num_refused: int
    num_failures_in_a_row: int
    share_accepted: float | None
    mean_weight: float | None
    why: str


_LEADERBOARD: Final = select(
    Place, "leaderboard", "WHERE run = :run ORDER BY place, first_at, volunteer LIMIT CAST(:most AS bigint)"
)
_MY_CONTRIBUTION: Final = select(MyContribution, "my_contribution", "WHERE run = :run")
# Who is here before who was.
_WORKERS: Final = select(
    SeenWorker, "workers", "WHERE run = :run ORDER BY is_present DESC NULLS LAST, worker LIMIT CAST(:most AS bigint)"
)
# A process that crashed never leaves. Where the same person's computer joined again, nobody is missing.
_SILENT: Final = select(
    SeenWorker,
    "workers w",
    """WHERE run = :run AND left_at IS NULL AND is_present IS NOT TRUE
          AND NOT EXISTS (SELECT FROM watch.workers again
                           WHERE again.run = w.run AND again.volunteer = w.volunteer
                             AND again.worker_name = w.worker_name
                             AND again.worker > w.worker AND again.joined_at > w.last_seen_at)
        ORDER BY last_seen_at DESC NULLS LAST, worker LIMIT CAST(:most AS bigint)""",
)
_ACCEPTANCE: Final = select(Acceptance, "acceptance", "WHERE run = :run ORDER BY volunteer, worker")
_BYTES: Final = select(SentBytes, "bytes", "WHERE run = :run ORDER BY volunteer, worker")
_SUSPECTS: Final = select(
    Suspect, "suspects", "WHERE run = :run ORDER BY volunteer, worker LIMIT CAST(:most AS bigint)"
)


def leaderboard(conn: Connection, *, run: str, most: int | None = None) -> list[Place]:
    return records(conn, Place, _LEADERBOARD, run=run, most=most)


def my_contribution(conn: Connection, *, run: str) -> MyContribution | None:
    """None for whoever has not joined the run, as an observer or the instructor."""
    own = records(conn, MyContribution, _MY_CONTRIBUTION, run=run)
    return own[0] if own else None


def seen_workers(conn: Connection, *, run: str, most: int | None = None) -> list[SeenWorker]:
    """Those who are here first."""
    return records(conn, SeenWorker, _WORKERS, run=run, most=most)


def silent_workers(conn: Connection, *, run: str, most: int | None = None) -> list[SeenWorker]:
    """Those who did not leave, and whose heartbeats are missing; the last to be heard of first."""
    return records(conn, SeenWorker, _SILENT, run=run, most=most)


def acceptance(conn: Connection, *, run: str) -> list[Acceptance]:
    return records(conn, Acceptance, _ACCEPTANCE, run=run)


def sent_bytes(conn: Connection, *, run: str) -> list[SentBytes]:
    return records(conn, SentBytes, _BYTES, run=run)


def suspects(conn: Connection, *, run: str, most: int | None = None) -> list[Suspect]:
    return records(conn, Suspect, _SUSPECTS, run=run, most=most)
