"""What a page for everybody shows and no view answers in that form. It reads the views of schema `watch` alone."""

from __future__ import annotations

import dataclasses
import datetime

from sqlalchemy import Connection, text

from contract.ids import Version, WorkerId
from coordinator.ledger.views.selecting import records

_RUNS = text("SELECT run, state, workload, mode, head_version FROM watch.progress ORDER BY created_at DESC, run")
_FATE = text("""
    SELECT coalesce(sum(num_submitted), 0)::bigint AS num_submitted, coalesce(sum(num_merged), 0)::bigint AS num_merged,
           coalesce(sum(num_stale), 0)::bigint AS num_stale, coalesce(sum(num_refused), 0)::bigint AS num_refused,
           coalesce(sum(num_late), 0)::bigint AS num_late,
           sum(mean_staleness * num_merged) / nullif(sum(num_merged), 0) AS mean_staleness
      FROM watch.acceptance WHERE run = :run""")
_TRAFFIC = text("""
    SELECT coalesce(sum(raw_bytes), 0)::bigint AS raw_bytes, coalesce(sum(coded_bytes), 0)::bigint AS coded_bytes,
           coalesce(sum(sent_bytes), 0)::bigint AS sent_bytes
      FROM watch.bytes WHERE run = :run""")
# Who is here before who was, and the last who left before all others. What arrived of late is known at once; what a
# worker says of itself comes with its next heartbeat. What became of their work is asked of those that are shown alone.
_WORKERS = text("""
    WITH shown AS MATERIALIZED (
        SELECT * FROM watch.workers WHERE run = :run
         ORDER BY left_at DESC NULLS FIRST, is_present DESC, worker LIMIT :most)
    SELECT w.volunteer, w.display_name, w.worker, w.worker_name, w.device, w.joined_at, w.left_at, w.left_reason,
           w.last_seen_at, w.is_present, w.phase, w.progress,
           coalesce(g.num_samples / greatest(1, least(60, extract(epoch FROM now() - w.joined_at)::double precision)),
                    w.samples_per_second) AS samples_per_second,
           coalesce(u.num_units, 0) AS num_units, coalesce(a.num_merged, 0) AS num_merged, a.share_accepted
      FROM shown w
      LEFT JOIN (SELECT worker, num_merged, share_accepted FROM watch.acceptance
                  WHERE run = :run AND worker = ANY (ARRAY(SELECT worker FROM shown))) a ON a.worker = w.worker
      LEFT JOIN (SELECT worker, count(*) AS num_units FROM watch.units
                  WHERE run = :run AND state = 'leased' AND worker = ANY (ARRAY(SELECT worker FROM shown))
                  GROUP BY worker) u ON u.worker = w.worker
      LEFT JOIN (SELECT worker, sum(num_samples) AS num_samples FROM watch.gradients
                  WHERE run = :run AND state = 'merged' AND finished_at > now() - interval '1 minute'
                  GROUP BY worker) g ON g.worker = w.worker
     ORDER BY w.left_at DESC NULLS FIRST, w.is_present DESC, w.worker""")
_HEADCOUNT = text("""
    SELECT count(*) FILTER (WHERE is_present) AS num_present,
           count(*) FILTER (WHERE NOT is_present AND left_at IS NULL) AS num_silent,
           count(*) FILTER (WHERE left_at IS NOT NULL) AS num_gone
      FROM watch.workers WHERE run = :run""")
# The minute that still runs looks slower than it is.
_MINUTES = text("""
    SELECT minute, num_units, num_samples FROM watch.throughput
     WHERE run = :run AND minute < date_trunc('minute', now()) ORDER BY minute""")
_SAMPLE = text("SELECT media_type, content FROM watch.samples WHERE run = :run AND version = :version")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ShownRun:
    run: str
    state: str
    workload: str
    mode: str
    head_version: Version | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of a run's gradients."""

    num_submitted: int
    num_merged: int
    num_stale: int
    num_refused: int
    num_late: int
    mean_staleness: float | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    raw_bytes: int
    coded_bytes: int
    sent_bytes: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ShownWorker:
    """`samples_per_second` were merged in the last minute; `num_units` it has in hand now."""

    volunteer: str
    display_name: str
    worker: WorkerId
    worker_name: str
    device: str | None
    joined_at: datetime.datetime
    left_at: datetime.datetime | None
    left_reason: str | None
    last_seen_at: datetime.datetime | None
    is_present: bool | None
    phase: str | None
    progress: float | None
    samples_per_second: float | None
    num_units: int
    num_merged: int
    share_accepted: float | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Headcount:
    num_present: int
    num_silent: int
    num_gone: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WholeMinute:
    minute: datetime.datetime
    num_units: int
    num_samples: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ShownSample:
    media_type: str
    content: bytes


def shown_runs(conn: Connection) -> list[ShownRun]:
    """The newest first."""
    return records(conn, ShownRun, _RUNS)


def fate(conn: Connection, *, run: str) -> Fate:
    (found,) = records(conn, Fate, _FATE, run=run)
    return found


def traffic(conn: Connection, *, run: str) -> Traffic:
    (found,) = records(conn, Traffic, _TRAFFIC, run=run)
    return found


def shown_workers(conn: Connection, *, run: str, most: int) -> list[ShownWorker]:
    return records(conn, ShownWorker, _WORKERS, run=run, most=most)


def headcount(conn: Connection, *, run: str) -> Headcount:
    (found,) = records(conn, Headcount, _HEADCOUNT, run=run)
    return found


def whole_minutes(conn: Connection, *, run: str) -> list[WholeMinute]:
    """Of the last 24 hours those in which something was merged, without the one that is not over."""
    return records(conn, WholeMinute, _MINUTES, run=run)


def shown_sample(conn: Connection, *, run: str, version: Version) -> ShownSample | None:
    row = conn.execute(_SAMPLE, {"run": run, "version": version}).one_or_none()
    return None if row is None else ShownSample(media_type=row.media_type, content=bytes(row.content))
