"""How far the runs are, unit by unit and minute by minute."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any, Final

from sqlalchemy import Connection

from contract.ids import GradientId, UnitId, Version, WorkerId
from coordinator.ledger.views.selecting import records, select


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A run at a glance. `samples_per_second` were merged in the last minute; None if nothing was."""

    run: str
    state: str
    state_reason: str | None
    mode: str
    workload: str
    head_version: Version | None
    optimizer_step: int | None
    head_since: datetime.datetime | None
    num_open: int
    num_leased: int
    num_submitted: int
    num_merged: int
    num_failed: int
    num_cancelled: int
    num_begun: int
    num_computed: int
    share_used: float | None
    num_gradients_per_update: int
    num_workers: int
    created_at: datetime.datetime
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None
    num_samples_merged: int
    samples_per_epoch: int | None
    num_epochs: int | None
    share_done: float | None
    samples_per_second: float | None
    eta_seconds: float | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SeenUnit:
    unit: UnitId
    epoch: int
    first_sample: int
    num_samples: int
    base_version: Version | None
    state: str
    state_reason: str | None
    attempt: int
    num_failures: int
    volunteer: str | None
    worker: WorkerId | None
    leased_at: datetime.datetime | None
    lease_expires_at: datetime.datetime | None
    created_at: datetime.datetime
    finished_at: datetime.datetime | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SeenGradient:
    gradient: GradientId
    unit: UnitId
    attempt: int
    volunteer: str | None
    worker: WorkerId
    base_version: Version
    state: str
    verdict: str | None
    weight: float | None
    merged_version: Version | None
    staleness: int | None
    codec: str | None
    num_samples: int | None
    losses: dict[str, Any]
    raw_bytes: int | None
    coded_bytes: int
    sent_bytes: int
    created_at: datetime.datetime
    submitted_at: datetime.datetime | None
    finished_at: datetime.datetime | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    epoch: int
    num_units: int
    used_samples: int
    surplus_samples: int
    skipped_samples: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    minute: datetime.datetime
    num_units: int
    num_samples: int
    samples_per_second: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StalledUnit:
    unit: UnitId
    attempt: int
    volunteer: str | None
    worker: WorkerId
    worker_name: str | None
    leased_at: datetime.datetime
    lease_expires_at: datetime.datetime
    seconds_leased: float
    last_seen_at: datetime.datetime | None
    seconds_silent: float | None
    why: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Of the last 1,000 gradients. `step` is 'wait', 'compute', 'upload' or 'merge'."""

    step: str
    num_measured: int
    p50_seconds: float
    p95_seconds: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvent:
    event: int
    at: datetime.datetime
    run: str | None
    subject: str
    subject_id: int | None
    old_state: str | None
    new_state: str | None
    since: datetime.datetime | None
    volunteer: str | None
    display_name: str | None
    worker: WorkerId | None
    reason: str | None


_PROGRESS: Final = select(
    Progress, "progress", "WHERE CAST(:run AS text) IS NULL OR run = :run ORDER BY created_at, run"
)
_UNITS: Final = select(SeenUnit, "units", "WHERE run = :run ORDER BY unit DESC LIMIT CAST(:most AS bigint)")
_GRADIENTS: Final = select(
    SeenGradient, "gradients", "WHERE run = :run ORDER BY gradient DESC LIMIT CAST(:most AS bigint)"
)
_EPOCHS: Final = select(Epoch, "epochs", "WHERE run = :run ORDER BY epoch")
_THROUGHPUT: Final = select(Minute, "throughput", "WHERE run = :run ORDER BY minute")
_STALLED_UNITS: Final = select(
    StalledUnit, "stalled_units", "WHERE run = :run ORDER BY leased_at, unit LIMIT CAST(:most AS bigint)"
)
_TIMINGS: Final = select(
    Timing, "timings", "WHERE run = :run ORDER BY array_position('{wait,compute,upload,merge}', step)"
)


def progress(conn: Connection, *, run: str | None = None) -> list[Progress]:
    """Of this run, or of every run of the ledger."""
    return records(conn, Progress, _PROGRESS, run=run)


def newest_units(conn: Connection, *, run: str, most: int = 100) -> list[SeenUnit]:
    return records(conn, SeenUnit, _UNITS, run=run, most=most)


def newest_gradients(conn: Connection, *, run: str, most: int = 100) -> list[SeenGradient]:
    return records(conn, SeenGradient, _GRADIENTS, run=run, most=most)


def epochs(conn: Connection, *, run: str) -> list[Epoch]:
    return records(conn, Epoch, _EPOCHS, run=run)


def throughput(conn: Connection, *, run: str) -> list[Minute]:
    """The last 24 hours, the oldest minute first."""
    return records(conn, Minute, _THROUGHPUT, run=run)


def stalled_units(conn: Connection, *, run: str, most: int | None = None) -> list[StalledUnit]:
    return records(conn, StalledUnit, _STALLED_UNITS, run=run, most=most)


def timings(conn: Connection, *, run: str) -> list[Timing]:
    """In the order in which a unit goes through them."""
    return records(conn, Timing, _TIMINGS, run=run)
