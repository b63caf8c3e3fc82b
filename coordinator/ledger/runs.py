"""Runs, and who leads them."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from contract.database import CHANNEL
from contract.errors import LeadershipLost, NameTaken, NotFound
from contract.ids import RunId, Version
from contract.states import RunState

_CREATE = text("""
    INSERT INTO ledger.runs (name, state, mode, workload, workload_options, data, training, seed,
                             num_gradients_per_update, lease_seconds, max_lease_seconds, heartbeat_seconds, max_retries,
                             max_leases_per_worker, max_part_bytes, max_gradient_bytes, parent_run_id, parent_version)
    VALUES (:name, 'created', :mode, :workload, CAST(:workload_options AS jsonb), CAST(:data AS jsonb),
            CAST(:training AS jsonb), :seed, :num_gradients_per_update, :lease_seconds, :max_lease_seconds,
            :heartbeat_seconds, :max_retries, :max_leases_per_worker, :max_part_bytes, :max_gradient_bytes,
            :parent_run, :parent_version)
    ON CONFLICT (name) DO NOTHING RETURNING id""")
_READ = text("""
    SELECT id, name, state, state_reason, mode, workload, workload_options, data, training, seed, head_version,
           num_gradients_per_update, created_at
      FROM ledger.runs WHERE name = :name""")
_SET_STATE = text("""
    UPDATE ledger.runs
       SET state = :state, state_reason = :reason,
           started_at = CASE WHEN :state = 'running' THEN coalesce(started_at, now()) ELSE started_at END,
           finished_at = CASE WHEN :state = 'finished' THEN now() END
     WHERE id = :run AND state <> :state""")
# The log explains afterwards why one update had more gradients than another.
_SET_NUM_GRADIENTS = text("""
    WITH before AS (SELECT id, num_gradients_per_update AS number FROM ledger.runs WHERE id = :run),
         changed AS (UPDATE ledger.runs SET num_gradients_per_update = :number WHERE id = :run)
    INSERT INTO ledger.events (run_id, subject, subject_id, old_state, new_state, reason)
    SELECT id, 'num_gradients_per_update', id, number::text, CAST(:number AS integer)::text, :reason FROM before""")
_PAUSE = text("""
    UPDATE ledger.runs SET state = 'paused', state_reason = :reason WHERE id = :run AND state = 'running'""")
_RESUME = text("""
    UPDATE ledger.runs SET state = 'running', state_reason = :reason WHERE id = :run AND state = 'paused'""")
_EXTEND = text("""
    UPDATE ledger.runs SET training = jsonb_set(training, '{num_epochs}', to_jsonb(CAST(:num_epochs AS integer)))
     WHERE id = :run AND CAST(training->>'num_epochs' AS integer) < :num_epochs""")
_ASK_TO_STOP = text("UPDATE ledger.runs SET stop_asked_at = clock_timestamp() WHERE id = :run")
# From the beginning each time: whatever came back below the floor is found within a second.
_RAISE_FLOOR = text("""
    UPDATE ledger.runs r SET claim_floor = f.floor
      FROM (SELECT coalesce(min(u.position), (SELECT next_position FROM ledger.runs WHERE id = :run)) AS floor
              FROM ledger.work_units u WHERE u.run_id = :run AND u.state = 'open') f
     WHERE r.id = :run AND r.claim_floor <> f.floor""")
_LEAD = text("""
    INSERT INTO ledger.leaders AS l (run_id, holder, host, expires_at)
    VALUES (:run, :holder, :host, now() + make_interval(secs => :lease_seconds))
    ON CONFLICT (run_id) DO UPDATE
       SET term = l.term + CASE WHEN l.holder = :holder THEN 0 ELSE 1 END,
           elected_at = CASE WHEN l.holder = :holder THEN l.elected_at ELSE now() END,
           holder = :holder, host = :host, expires_at = now() + make_interval(secs => :lease_seconds)
     WHERE l.holder = :holder OR l.expires_at < now()
    RETURNING term""")
# SKIP LOCKED: while this coordinator publishes, it holds the row itself and nobody is elected.
# A lease that was yielded stays so.
_RENEW = text("""
    UPDATE ledger.leaders l SET expires_at = now() + make_interval(secs => :lease_seconds)
      FROM (SELECT run_id FROM ledger.leaders WHERE run_id = :run AND holder = :holder AND term = :term
               AND expires_at > '-infinity' FOR UPDATE SKIP LOCKED) own
     WHERE l.run_id = own.run_id""")
# The row stays: a term is never given twice.
# Locks the row until the commit: nobody is elected while a leader publishes.
_STILL_LEADS = text("""
    SELECT true FROM ledger.leaders WHERE run_id = :run AND holder = :holder AND term = :term FOR UPDATE""")
_STANDING = text("SELECT state, stop_asked_at, clock_timestamp() AS now FROM ledger.runs WHERE id = :run")
_LEADER = text("SELECT host FROM ledger.leaders WHERE run_id = :run AND expires_at > clock_timestamp()")
_YIELD = text("UPDATE ledger.leaders SET expires_at = '-infinity' WHERE run_id = :run AND holder = :holder")
_NOTIFY = text("SELECT pg_notify(:channel, :payload)")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What decides a run. It lives in the ledger, so no two configurations can disagree."""

    name: str
    mode: str
    workload: str
    workload_options: Mapping[str, Any]
    data: Mapping[str, Any]
    training: Mapping[str, Any]
    seed: int
    num_gradients_per_update: int
    lease_seconds: int = 300
    max_lease_seconds: int = 3600
    heartbeat_seconds: int = 30
    max_retries: int = 3
    max_leases_per_worker: int = 4
    max_part_bytes: int = 4 << 20
    max_gradient_bytes: int = 1 << 30
    parent_run: RunId | None = None
    parent_version: Version | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """All that decides a run, and where it stands."""

    run: RunId
    name: str
    state: RunState
    state_reason: str | None
    mode: str
    workload: str
    workload_options: Mapping[str, Any]
    data: Mapping[str, Any]
    training: Mapping[str, Any]
    seed: int
    head_version: Version
    num_gradients_per_update: int
    created_at: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a coordinator asks at every turn; both times are the database's."""

    state: RunState
    stop_asked_at: datetime.datetime | None
    now: datetime.datetime


def create_run(conn: Connection, new: NewRun) -> RunId:
    values = dataclasses.asdict(new)
    for name in ("workload_options", "data", "training"):
        values[name] = json.dumps(values[name])
    created = conn.execute(_CREATE, values).scalar_one_or_none()
    if created is None:
        raise NameTaken(f"this ledger has a run named {new.name!r} already; choose another name")
    return RunId(created)


def find_run(conn: Connection, *, name: str) -> RunRecord | None:
    row = conn.execute(_READ, {"name": name}).one_or_none()
    if row is None:
        return None
    return RunRecord(
        run=RunId(row.id),
        name=row.name,
        state=RunState(row.state),
        state_reason=row.state_reason,
        mode=row.mode,
        workload=row.workload,
        workload_options=row.workload_options,
        data=row.data,
        training=row.training,
        seed=row.seed,
        head_version=Version(row.head_version),
        num_gradients_per_update=row.num_gradients_per_update,
        created_at=row.created_at,
    )


def read_run(conn: Connection, *, name: str) -> RunRecord:
    found = find_run(conn, name=name)
    if found is None:
        raise NotFound(f"there is no run named {name!r} in this ledger; `coordinator start` makes it")
    return found


def set_run_state(conn: Connection, *, run: RunId, state: RunState, reason: str | None = None) -> None:
    """Volunteers hear of it at once. A run that has the state already keeps it."""
    conn.execute(_SET_STATE, {"run": run, "state": state, "reason": reason})
    _tell(conn, run, state)


def pause(conn: Connection, *, run: RunId, reason: str) -> bool:
    """False where it was not running: then nothing has changed."""
    _tell(conn, run, RunState.PAUSED)
    return conn.execute(_PAUSE, {"run": run, "reason": reason}).rowcount == 1


def resume(conn: Connection, *, run: RunId, reason: str) -> bool:
    """False where it was not paused. A finished run is never opened again this way."""
    _tell(conn, run, RunState.RUNNING)
    return conn.execute(_RESUME, {"run": run, "reason": reason}).rowcount == 1


def extend(conn: Connection, *, run: RunId, num_epochs: int) -> bool:
    """False where the run has as many epochs already: samples that were handed out are not taken back."""
    return conn.execute(_EXTEND, {"run": run, "num_epochs": num_epochs}).rowcount == 1


def ask_to_stop(conn: Connection, *, run: RunId) -> None:
    """Every coordinator of the run that has begun by now ends after its turn; its state stays what it is."""
    conn.execute(_ASK_TO_STOP, {"run": run})
    _tell(conn, run, "stop")


def _tell(conn: Connection, run: RunId, what: str) -> None:
    conn.execute(_NOTIFY, {"channel": CHANNEL, "payload": f"run {run} {what}"})


def standing(conn: Connection, *, run: RunId) -> Standing:
    row = conn.execute(_STANDING, {"run": run}).one()
    return Standing(state=RunState(row.state), stop_asked_at=row.stop_asked_at, now=row.now)


def leader_host(conn: Connection, *, run: RunId) -> str | None:
    """Where the coordinator is that leads the run now."""
    host: str | None = conn.execute(_LEADER, {"run": run}).scalar_one_or_none()
    return host


def set_num_gradients(conn: Connection, *, run: RunId, number: int, reason: str) -> None:
    """So many gradients make an update from now on."""
    conn.execute(_SET_NUM_GRADIENTS, {"run": run, "number": number, "reason": reason})


def raise_claim_floor(conn: Connection, *, run: RunId) -> None:
    conn.execute(_RAISE_FLOOR, {"run": run})


def lead(conn: Connection, *, run: RunId, holder: UUID, host: str, lease_seconds: float) -> int | None:
    """The term in which `holder` leads the run from now on; None while another's lease stands."""
    term: int | None = conn.execute(
        _LEAD, {"run": run, "holder": holder, "host": host, "lease_seconds": lease_seconds}
    ).scalar_one_or_none()
    return term


def renew_lead(conn: Connection, *, run: RunId, holder: UUID, term: int, lease_seconds: float) -> None:
    """For whoever still leads; nothing is taken back from another."""
    conn.execute(_RENEW, {"run": run, "holder": holder, "term": term, "lease_seconds": lease_seconds})


def require_lead(conn: Connection, *, run: RunId, holder: UUID, term: int | None) -> None:
    """The fence of whatever a leader publishes: one that stalled past its lease publishes nothing any more."""
    if conn.execute(_STILL_LEADS, {"run": run, "holder": holder, "term": term}).scalar_one_or_none() is None:
        raise LeadershipLost


def yield_lead(conn: Connection, *, run: RunId, holder: UUID) -> None:
    conn.execute(_YIELD, {"run": run, "holder": holder})
