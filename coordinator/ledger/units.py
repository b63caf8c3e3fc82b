"""Work units: opened, cancelled, taken back when their leases are over."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sqlalchemy import Connection, text

from contract.database import CHANNEL
from contract.ids import RunId, UnitId, Version

_TAKE_POSITIONS = text("""
    UPDATE ledger.runs SET next_position = next_position + :num WHERE id = :run RETURNING next_position - :num""")
_OPEN = text("""
    INSERT INTO ledger.work_units (run_id, position, epoch, first_sample, num_samples, seed, planned_version, state)
    SELECT :run, :first_position + row_number() OVER (ORDER BY n.place) - 1, n.epoch, n.first_sample, n.num_samples,
           n.seed, CAST(:planned_version AS bigint), 'open'
      FROM unnest(CAST(:epochs AS integer[]), CAST(:first_samples AS bigint[]), CAST(:nums_samples AS integer[]),
                  CAST(:seeds AS bigint[])) WITH ORDINALITY AS n (epoch, first_sample, num_samples, seed, place)
    RETURNING id""")
# SKIP LOCKED: a volunteer's open transaction may hold a unit; the next turn finds it. OR, because each state has an
# index of its own, which IN would not use.
_CANCEL = text("""
    UPDATE ledger.work_units u
       SET state = 'cancelled', state_reason = :reason, lease_token = NULL, lease_expires_at = NULL, finished_at = now()
      FROM (SELECT o.id, w.name AS worker, v.name AS volunteer
              FROM ledger.work_units o
              LEFT JOIN ledger.workers w ON w.id = o.worker_id AND o.state = 'leased'
              LEFT JOIN ledger.volunteers v ON v.id = w.volunteer_id
             WHERE o.run_id = :run AND (o.state = 'open' OR o.state = 'leased') AND o.planned_version <= :version
               FOR UPDATE OF o SKIP LOCKED) overtaken
     WHERE u.id = overtaken.id
    RETURNING u.id, overtaken.worker, overtaken.volunteer""")
_CANCEL_ALL = text("""
    UPDATE ledger.work_units
       SET state = 'cancelled', state_reason = :reason, lease_token = NULL, lease_expires_at = NULL, finished_at = now()
     WHERE run_id = :run AND (state = 'open' OR state = 'leased')""")
_REAP = text("""
    UPDATE ledger.work_units u
       SET state = CASE WHEN over.num_failures < over.max_retries THEN 'open' ELSE 'failed' END,
           finished_at = CASE WHEN over.num_failures < over.max_retries THEN NULL ELSE now() END,
           num_failures = u.num_failures + 1, lease_token = NULL, lease_expires_at = NULL,
           state_reason = format('the lease of worker %s is over', u.worker_id)
      FROM (SELECT u.id, u.num_failures, r.max_retries
              FROM ledger.work_units u JOIN ledger.runs r ON r.id = u.run_id
             WHERE u.run_id = :run AND u.state = 'leased'
               AND ledger.lease_is_over_v1(u.id, u.worker_id, u.leased_at, u.lease_expires_at, r.max_lease_seconds)
               FOR UPDATE OF u SKIP LOCKED) over
     WHERE u.id = over.id
    RETURNING u.id, u.state""")
_TAKEN = text("""
    SELECT epoch, first_sample FROM ledger.work_units WHERE run_id = :run AND state <> 'cancelled'""")
_RANGES = text("""
    SELECT epoch, first_sample FROM ledger.work_units WHERE id = ANY (CAST(:units AS bigint[]))""")
# State by state, and what was submitted by way of its gradient: each of these has a small index, all together none,
# and after a million units a count of a dozen must not read the table.
_COUNT_ACTIVE = text("""
    SELECT (SELECT count(*) FROM ledger.work_units
             WHERE run_id = :run AND state = 'open' AND planned_version = :version)
         + (SELECT count(*) FROM ledger.work_units
             WHERE run_id = :run AND state = 'leased' AND planned_version = :version)
         + (SELECT count(*) FROM ledger.gradients g JOIN ledger.work_units u ON u.id = g.unit_id
             WHERE g.run_id = :run AND g.state = 'submitted' AND u.state = 'submitted'
               AND u.planned_version = :version)""")
_COUNT_UNFINISHED = text("""
    SELECT (SELECT count(*) FROM ledger.work_units WHERE run_id = :run AND state = 'open')
         + (SELECT count(*) FROM ledger.work_units WHERE run_id = :run AND state = 'leased')
         + (SELECT count(*) FROM ledger.gradients g JOIN ledger.work_units u ON u.id = g.unit_id
             WHERE g.run_id = :run AND g.state = 'submitted' AND u.state = 'submitted')""")
_COUNT_WORKERS = text("""
    SELECT count(*) FROM ledger.workers w
      JOIN ledger.heartbeats h ON h.worker_id = w.id
      JOIN ledger.runs r ON r.id = w.run_id
     WHERE w.run_id = :run AND w.left_at IS NULL AND h.at > now() - 3 * r.heartbeat_seconds * interval '1 second'""")
_COUNT_OPEN = text("SELECT count(*) FROM ledger.work_units WHERE run_id = :run AND state = 'open'")
# Its version began it; a coordinator that begins later gives it the whole time once more.
_ROUND_AGE = text("""
    SELECT extract(epoch FROM now() - greatest(m.created_at, l.elected_at))::float8
      FROM ledger.model_versions m LEFT JOIN ledger.leaders l ON l.run_id = m.run_id
     WHERE m.run_id = :run AND m.number = :version""")
_LAST_EVENT = text("SELECT coalesce(max(id), 0) FROM ledger.events")
# Read from the log, whose new end is short; the units themselves are many.
_FAILURES = text("""
    SELECT e.id AS event, e.subject_id, e.reason, w.name AS worker, v.name AS volunteer, u.epoch, u.first_sample,
           u.num_samples
      FROM ledger.events e
      JOIN ledger.work_units u ON u.id = e.subject_id
      LEFT JOIN ledger.workers w ON w.id = e.worker_id
      LEFT JOIN ledger.volunteers v ON v.id = w.volunteer_id
     WHERE e.id > :after AND e.run_id = :run AND e.subject = 'unit' AND e.new_state = 'failed'
     ORDER BY e.id""")
_NOTIFY = text("SELECT pg_notify(:channel, :payload)")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NewUnit:
    epoch: int
    first_sample: int
    num_samples: int
    seed: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reaped:
    reopened: tuple[UnitId, ...]
    failed: tuple[UnitId, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Overtaken:
    """`worker` and `volunteer` are those who were at work on it; None where nobody was."""

    unit: UnitId
    worker: str | None
    volunteer: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A unit that failed for good. `event` is its line in the log, the holder the last who tried."""

    event: int
    unit: UnitId
    reason: str
    worker: str | None
    volunteer: str | None
    epoch: int
    first_sample: int
    num_samples: int


def open_units(
    conn: Connection, *, run: RunId, units: Sequence[NewUnit], planned_version: Version | None = None
) -> list[UnitId]:
    """Opens them in this order, and wakes the workers. Without a planned version the head at the claim counts."""
    first_position = conn.execute(_TAKE_POSITIONS, {"run": run, "num": len(units)}).scalar_one()
    rows = conn.execute(
        _OPEN,
        {
            "run": run,
            "first_position": first_position,
            "planned_version": planned_version,
            "epochs": [unit.epoch for unit in units],
            "first_samples": [unit.first_sample for unit in units],
            "nums_samples": [unit.num_samples for unit in units],
            "seeds": [unit.seed for unit in units],
        },
    ).scalars()
    opened = [UnitId(row) for row in rows]
    conn.execute(_NOTIFY, {"channel": CHANNEL, "payload": f"units {run}"})
    return opened


def taken_ranges(conn: Connection, *, run: RunId) -> list[tuple[int, int]]:
    """Epoch and first sample of every unit but the cancelled ones: what a restart need not open."""
    return [(row.epoch, row.first_sample) for row in conn.execute(_TAKEN, {"run": run})]


def ranges_of(conn: Connection, *, units: Sequence[UnitId]) -> list[tuple[int, int]]:
    return [(row.epoch, row.first_sample) for row in conn.execute(_RANGES, {"units": list(units)})]


def count_active(conn: Connection, *, run: RunId, planned_version: Version) -> int:
    """Units of a round that may still bring a gradient to it."""
    return int(conn.execute(_COUNT_ACTIVE, {"run": run, "version": planned_version}).scalar_one())


def count_unfinished(conn: Connection, *, run: RunId) -> int:
    return int(conn.execute(_COUNT_UNFINISHED, {"run": run}).scalar_one())


def count_workers(conn: Connection, *, run: RunId) -> int:
    return int(conn.execute(_COUNT_WORKERS, {"run": run}).scalar_one())


def count_open(conn: Connection, *, run: RunId) -> int:
    return int(conn.execute(_COUNT_OPEN, {"run": run}).scalar_one())


def cancel_overtaken(conn: Connection, *, run: RunId, version: Version, reason: str) -> list[Overtaken]:
    """Units planned for this version or an older one, unless their result has arrived."""
    rows = conn.execute(_CANCEL, {"run": run, "version": version, "reason": reason})
    return [Overtaken(unit=UnitId(row.id), worker=row.worker, volunteer=row.volunteer) for row in rows]


def cancel_all(conn: Connection, *, run: RunId, reason: str) -> None:
    """Whatever is open or being computed: the run ends before its epochs do."""
    conn.execute(_CANCEL_ALL, {"run": run, "reason": reason})


def round_age(conn: Connection, *, run: RunId, version: Version) -> float:
    """How long the round of this version has lasted, in seconds of the database's clock."""
    return float(conn.execute(_ROUND_AGE, {"run": run, "version": version}).scalar_one())


def last_event(conn: Connection) -> int:
    return int(conn.execute(_LAST_EVENT).scalar_one())


def failures_since(conn: Connection, *, run: RunId, event: int) -> list[Failure]:
    """Units that failed for good, told in the log after this line."""
    return [
        Failure(
            event=row.event,
            unit=UnitId(row.subject_id),
            reason=row.reason or "no reason was given",
            worker=row.worker,
            volunteer=row.volunteer,
            epoch=row.epoch,
            first_sample=row.first_sample,
            num_samples=row.num_samples,
        )
        for row in conn.execute(_FAILURES, {"run": run, "after": event})
    ]


def reap(conn: Connection, *, run: RunId) -> Reaped:
    """Units whose leases are over open again; after `max_retries` of such ends they are failed, and the run goes on."""
    rows = conn.execute(_REAP, {"run": run}).all()
    return Reaped(
        reopened=tuple(UnitId(row.id) for row in rows if row.state == "open"),
        failed=tuple(UnitId(row.id) for row in rows if row.state == "failed"),
    )
