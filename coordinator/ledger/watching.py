"""A run at a glance, as whoever looks at it sees it: read in one transaction, changed by nobody."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from contract.errors import NotFound
from contract.ids import RunId, Version, WorkerId
from contract.states import RunState
from coordinator.tables import NOTABLE_EVENT

# A curve is read in so many averages: more points than any terminal has columns for it, however long the run.
_POINTS: Final = 120
_RECENT_SECONDS: Final = 20.0
_MOST_WORKERS: Final = 200

_RUN = text("""
    SELECT r.id, r.name, r.state, r.state_reason, r.mode, r.workload, r.head_version, r.num_gradients_per_update,
           (r.data ->> 'num_samples')::bigint AS num_samples, (r.training ->> 'num_epochs')::bigint AS num_epochs,
           (SELECT count(*) FROM ledger.work_units u WHERE u.run_id = r.id AND u.state = 'open') AS num_open,
           (SELECT count(*) FROM ledger.work_units u WHERE u.run_id = r.id AND u.state = 'leased') AS num_leased,
           (SELECT count(*) FROM ledger.gradients g
             WHERE g.run_id = r.id AND g.state = 'submitted'
               AND (r.mode = 'async' OR g.base_version = r.head_version)) AS num_landed,
           extract(epoch FROM now() - greatest(r.started_at, now() - make_interval(secs => 3 * :recent)))
               ::double precision AS window_seconds,
           now() AS at
      FROM ledger.runs r WHERE r.name = :run""")
# To PostgreSQL NaN is greater than infinity.
_CURVES = text("""
    SELECT name, avg(value) AS value
      FROM ledger.metrics WHERE run_id = :run AND abs(value) < 'Infinity'
     GROUP BY name, version * :points / (:head + 1) ORDER BY name, version * :points / (:head + 1)""")
# What was submitted lately either waits still or has been judged lately.
_WORK = text("""
    SELECT t.worker_id, t.num_submitted AS num_delivered, t.num_merged,
           t.num_stale + t.num_refused + t.num_late AS num_refused, coalesce(n.num_samples, 0) AS num_recent_samples
      FROM ledger.worker_records t
      LEFT JOIN (SELECT worker_id, sum(num_samples)::bigint AS num_samples
                   FROM (SELECT worker_id, num_samples, submitted_at FROM ledger.gradients
                          WHERE run_id = :run AND finished_at > now() - make_interval(secs => :recent)
                         UNION ALL
                         SELECT worker_id, num_samples, submitted_at FROM ledger.gradients
                          WHERE run_id = :run AND state = 'submitted') lately
                  WHERE submitted_at > now() - make_interval(secs => :recent) GROUP BY worker_id) n
             ON n.worker_id = t.worker_id
     WHERE t.run_id = :run AND t.worker_id = ANY (CAST(:workers AS bigint[]))""")
_MERGED = text("""
    SELECT coalesce(sum(num_merged), 0)::bigint AS num_units,
           coalesce(sum(num_samples_merged), 0)::bigint AS num_samples,
           (SELECT coalesce(sum(num_samples), 0)::bigint FROM ledger.gradients
             WHERE run_id = :run AND state = 'merged'
               AND finished_at > now() - make_interval(secs => 3 * :recent)) AS num_samples_lately
      FROM ledger.unit_tallies WHERE run_id = :run""")
_WORKERS = text("""
    SELECT w.id, coalesce(v.display_name, v.name) AS person, w.device, h.phase, h.samples_per_second,
           w.left_at IS NULL AS is_here,
           extract(epoch FROM now() - w.joined_at)::double precision AS joined_ago,
           extract(epoch FROM now() - h.at)::double precision AS seen_ago,
           h.at > now() - make_interval(secs => 3 * r.heartbeat_seconds) AS is_heard
      FROM ledger.workers w
      JOIN ledger.volunteers v ON v.id = w.volunteer_id
      JOIN ledger.runs r ON r.id = w.run_id
      JOIN ledger.heartbeats h ON h.worker_id = w.id
     WHERE w.run_id = :run
       AND (w.left_at > now() - make_interval(secs => :recent)
            OR (w.left_at IS NULL AND h.at > now() - interval '10 minutes'))
     ORDER BY (w.left_at IS NULL) DESC, w.id LIMIT :most""")
_EVENTS = text(f"""
    SELECT e.at, e.subject, e.subject_id, e.new_state, e.reason, coalesce(v.display_name, v.name) AS person
      FROM (SELECT * FROM ledger.events WHERE run_id = :run AND ({NOTABLE_EVENT}) ORDER BY id DESC LIMIT :most) e
      LEFT JOIN ledger.workers w ON w.id = e.worker_id
      LEFT JOIN ledger.volunteers v ON v.id = w.volunteer_id
     ORDER BY e.id DESC""")  # noqa: S608  a constant of ours
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
    until something was merged lately."""

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
class Event:
    at: datetime.datetime
    subject: str
    subject_id: int | None
    new_state: str
    person: str | None
    reason: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Workers in the order in which they came, events from the newest to the oldest."""

    at: datetime.datetime
    run: RunNow
    curves: tuple[Curve, ...]
    workers: tuple[WorkerNow, ...]
    events: tuple[Event, ...]


def look_at(conn: Connection, *, run: str, num_events: int = 30) -> Snapshot:
    found = conn.execute(_RUN, {"run": run, "recent": _RECENT_SECONDS}).one_or_none()
    if found is None or found.head_version is None:
        raise NotFound(f"there is no run named {run!r} in this ledger; `coordinator start` makes it")
    recently = {"run": found.id, "recent": _RECENT_SECONDS}
    merged = conn.execute(_MERGED, recently).one()
    seen = conn.execute(_WORKERS, {**recently, "most": _MOST_WORKERS}).all()
    work = {row.worker_id: row for row in conn.execute(_WORK, {**recently, "workers": [row.id for row in seen]})}
    return Snapshot(
        at=found.at,
        run=RunNow(
            name=found.name,
            state=RunState(found.state),
            reason=found.state_reason,
            mode=found.mode,
            workload=found.workload,
            head_version=Version(found.head_version),
            num_epochs=found.num_epochs,
            num_samples=found.num_samples,
            num_samples_merged=merged.num_samples,
            num_units_merged=merged.num_units,
            samples_merged_per_second=(
                merged.num_samples_lately / max(1.0, found.window_seconds) if merged.num_samples_lately else None
            ),
            num_open=found.num_open,
            num_leased=found.num_leased,
            num_landed=found.num_landed,
            num_wanted=found.num_gradients_per_update,
        ),
        curves=_curves(conn, run=found.id, head=found.head_version),
        workers=tuple(_worker(row, work[row.id]) for row in seen),
        events=tuple(
            Event(
                at=row.at,
                subject=row.subject,
                subject_id=row.subject_id,
                new_state=row.new_state,
                person=row.person,
                reason=row.reason,
            )
            for row in conn.execute(_EVENTS, {"run": found.id, "most": num_events})
        ),
    )


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


def _curves(conn: Connection, *, run: int, head: int) -> tuple[Curve, ...]:
    values: dict[str, list[float]] = {}
    for row in conn.execute(_CURVES, {"run": run, "points": _POINTS, "head": head}):
        values.setdefault(row.name, []).append(row.value)
    return tuple(Curve(name=name, values=tuple(points)) for name, points in values.items())


def _worker(row: Row[Any], work: Row[Any]) -> WorkerNow:
    arrived = work.num_recent_samples / max(1.0, min(_RECENT_SECONDS, row.joined_ago))
    return WorkerNow(
        worker=WorkerId(row.id),
        person=row.person,
        device=row.device or "",
        phase=row.phase or "",
        is_here=row.is_here,
        is_heard=row.is_heard,
        seen_ago_seconds=row.seen_ago,
        samples_per_second=arrived or row.samples_per_second,
        num_delivered=work.num_delivered,
        num_merged=work.num_merged,
        num_refused=work.num_refused,
    )
