"""A run at a glance, as whoever looks at it sees it: read in one transaction, changed by nobody."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from contract.errors import NotFound
from contract.ids import RunId, Version, WorkerId
from contract.states import RunState
from coordinator.ledger.averages import averages
from coordinator.ledger.events import newest_told
from coordinator.ledger.views import LoggedEvent, leaderboard, leading, progress

# A curve is read in so many averages: more points than any terminal has columns for it, however long the run.
_POINTS: Final = 120
_RECENT_SECONDS: Final = 20.0
_MOST_WORKERS: Final = 1_000
_MOST_NAMED: Final = 10

# Of a round only what belongs to it counts.
_LANDED = text("""
    SELECT count(*) AS num_landed, now() AS at
      FROM watch.gradients WHERE run = :run AND state = 'submitted' AND (:is_async OR base_version = :head)""")
# What was submitted lately either waits still or has been judged lately.
_ARRIVED = text("""
    SELECT worker, sum(num_samples)::bigint AS num_samples
      FROM (SELECT worker, num_samples, submitted_at FROM watch.gradients
             WHERE run = :run AND finished_at > now() - make_interval(secs => :recent)
            UNION ALL
            SELECT worker, num_samples, submitted_at FROM watch.gradients
             WHERE run = :run AND state = 'submitted') lately
     WHERE submitted_at > now() - make_interval(secs => :recent) GROUP BY worker""")
_BECAME = text("""
    SELECT worker, num_submitted AS num_delivered, num_merged, num_stale + num_refused + num_late AS num_refused
      FROM watch.acceptance WHERE run = :run AND worker = ANY (CAST(:workers AS bigint[]))""")
_WORKER = """
    SELECT worker, display_name AS person, device, phase, samples_per_second, left_at IS NULL AS is_here,
           coalesce(is_present, false) AS is_heard,
           extract(epoch FROM now() - joined_at)::double precision AS joined_ago,
           coalesce(extract(epoch FROM now() - last_seen_at)::double precision, 0) AS seen_ago
      FROM watch.workers WHERE run = :run"""
# Two questions: the first is answered in the order of the workers' numbers, and ends with the last that is wanted.
_WORKERS = text(f"""
    ({_WORKER} AND left_at IS NULL AND last_seen_at > now() - interval '10 minutes' ORDER BY worker LIMIT :most)
    UNION ALL
    ({_WORKER} AND left_at > now() - make_interval(secs => :recent) ORDER BY worker LIMIT :most)
    ORDER BY is_here DESC, worker LIMIT :most""")
# To PostgreSQL NaN is greater than infinity.
_METRICS = text("""
    SELECT name, version, value FROM ledger.metrics
     WHERE run_id = :run AND abs(value) < 'Infinity' ORDER BY name, version""")
# In so many stretches of equal length from the first merge to the last.
_SPEED = text("""
    WITH merged AS (SELECT extract(epoch FROM m.created_at - r.started_at)::float8 AS second,
                           sum(g.num_samples)::float8 AS num_samples
                      FROM ledger.gradients g
                      JOIN ledger.runs r ON r.id = g.run_id
                      JOIN ledger.model_versions m ON m.run_id = g.run_id AND m.number = g.merged_version
                     WHERE g.run_id = :run AND g.state = 'merged' GROUP BY m.number, m.created_at, r.started_at),
         whole AS (SELECT max(second) / :points AS stretch FROM merged)
    SELECT floor(least(second / stretch, :points - 1)) * stretch / 3600 AS hour, sum(num_samples) / stretch AS rate
      FROM merged, whole WHERE stretch > 0 GROUP BY 1, stretch ORDER BY 1""")
_STALENESS = text("""
    SELECT merged_version - 1 - base_version AS behind, count(*) AS number
      FROM ledger.gradients WHERE run_id = :run AND state = 'merged' GROUP BY 1 ORDER BY 1""")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunNow:
    """`num_landed` gradients wait for the next version, which takes `num_wanted`. `samples_merged_per_second` is None
    until something was merged lately. `num_workers` are here now; `led_from` is the host of the coordinator
    that leads it."""

    name: str
    state: RunState
    reason: str | None
    mode: str
    workload: str
    head_version: Version
    num_epochs: int
    num_samples: int
    num_samples_merged: int
    num_units_merged: int
    samples_merged_per_second: float | None
    num_open: int
    num_leased: int
    num_landed: int
    num_wanted: int
    num_workers: int
    led_from: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Averages over equal stretches of the run so far, from its beginning to now."""

    name: str
    values: tuple[float, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WorkerNow:
    """`is_heard` while fewer than three heartbeats were missed. `samples_per_second` is what arrived of late; where a
    unit takes longer than that, what the worker says of itself."""

    worker: WorkerId
    person: str
    device: str
    phase: str
    is_here: bool
    is_heard: bool
    seen_ago_seconds: float
    samples_per_second: float | None
    num_delivered: int
    num_merged: int
    num_refused: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Workers in the order in which they came, events from the newest to the oldest. Where no worker is left to show,
    `took_part` has the people who were here, those first who moved the model most; up to ten."""

    at: datetime.datetime
    run: RunNow
    curves: tuple[Curve, ...]
    workers: tuple[WorkerNow, ...]
    events: tuple[LoggedEvent, ...]
    took_part: tuple[str, ...] = ()


def look_at(conn: Connection, *, run: str, num_events: int = 30) -> Snapshot:
    """From the views alone: any login of the ledger may look."""
    found = progress(conn, run=run)
    if not found:
        raise NotFound(f"there is no run named {run!r} in this ledger; `coordinator start` makes it")
    (now,), head = found, found[0].head_version
    if head is None:
        raise NotFound(f"run {run} has no model yet; `coordinator start` makes it")
    landed = conn.execute(_LANDED, {"run": run, "is_async": now.mode == "async", "head": head}).one()
    leader = leading(conn, run=run)
    workers = _workers(conn, run)
    places = [] if workers else leaderboard(conn, run=run, most=_MOST_NAMED)
    return Snapshot(
        at=landed.at,
        run=RunNow(
            name=run,
            state=RunState(now.state),
            reason=now.state_reason,
            mode=now.mode,
            workload=now.workload,
            head_version=head,
            num_epochs=now.num_epochs or 0,
            num_samples=now.samples_per_epoch or 0,
            num_samples_merged=now.num_samples_merged,
            num_units_merged=now.num_merged,
            samples_merged_per_second=now.samples_per_second,
            num_open=now.num_open,
            num_leased=now.num_leased,
            num_landed=landed.num_landed,
            num_wanted=now.num_gradients_per_update,
            num_workers=now.num_workers,
            led_from=leader.host if leader is not None and leader.is_leading else None,
        ),
        curves=curves(conn, run=run, head=head),
        workers=workers,
        events=tuple(newest_told(conn, run=run, limit=num_events)),
        took_part=tuple(place.display_name for place in places),
    )


def curves(conn: Connection, *, run: str, head: Version) -> tuple[Curve, ...]:
    found = averages(conn, run=run, head=head, points=_POINTS)
    return tuple(Curve(name=name, values=tuple(value for _, value in points)) for name, points in found.items())


def metrics(conn: Connection, *, run: RunId) -> dict[str, list[tuple[Version, float]]]:
    """Every finite value by its metric's name, the oldest version first."""
    values: dict[str, list[tuple[Version, float]]] = {}
    for row in conn.execute(_METRICS, {"run": run}):
        values.setdefault(row.name, []).append((Version(row.version), row.value))
    return values


def speed(conn: Connection, *, run: RunId) -> list[tuple[float, float]]:
    """Hours since the run's beginning, and the samples per second that moved the model from then on."""
    return [(row.hour, row.rate) for row in conn.execute(_SPEED, {"run": run, "points": _POINTS})]


def staleness(conn: Connection, *, run: RunId) -> list[tuple[int, int]]:
    """How many versions behind the head merged gradients were, and how many of them."""
    return [(row.behind, row.number) for row in conn.execute(_STALENESS, {"run": run})]


def _workers(conn: Connection, run: str) -> tuple[WorkerNow, ...]:
    values = {"run": run, "recent": _RECENT_SECONDS}
    found = conn.execute(_WORKERS, {**values, "most": _MOST_WORKERS}).all()
    arrived = {row.worker: row.num_samples for row in conn.execute(_ARRIVED, values)}
    those = [row.worker for row in found]
    became = {row.worker: row for row in conn.execute(_BECAME, {"run": run, "workers": those}).all()}
    return tuple(_worker(row, became.get(row.worker), arrived.get(row.worker, 0)) for row in found)


def _worker(row: Row[Any], became: Row[Any] | None, num_recent_samples: int) -> WorkerNow:
    arrived = num_recent_samples / max(1.0, min(_RECENT_SECONDS, row.joined_ago))
    return WorkerNow(
        worker=WorkerId(row.worker),
        person=row.person,
        device=row.device or "",
        phase=row.phase or "",
        is_here=row.is_here,
        is_heard=row.is_heard,
        seen_ago_seconds=row.seen_ago,
        samples_per_second=arrived or row.samples_per_second,
        num_delivered=0 if became is None else became.num_delivered,
        num_merged=0 if became is None else became.num_merged,
        num_refused=0 if became is None else became.num_refused,
    )
