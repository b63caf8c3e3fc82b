"""A volunteer's whole vocabulary: one typed function per SQL function that a volunteer may call."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection, text

from contract.database import binary_cursor
from contract.ids import GradientId, RunId, UnitId, Version, WorkerId
from contract.states import RunState

# Raised whenever a worker of the release before could no longer take part; the ledger refuses those that are too old.
PROTOCOL: Final = 1

Kind = Literal["weights", "delta"]

_JOIN = text("""
    SELECT * FROM volunteer.join_v1(:run, :name, :host, :device, CAST(:capabilities AS jsonb),
                                    CAST(:software AS jsonb), :protocol)""")
_CLAIM = text("SELECT * FROM volunteer.claim_v1(:worker)")
_HEARTBEAT = text("""
    SELECT * FROM volunteer.heartbeat_v1(:worker, CAST(:units AS bigint[]), CAST(:attempts AS integer[]), :phase,
                                         CAST(:progress AS real), CAST(:samples_per_second AS real))""")
_FETCH_MANIFEST = text("SELECT * FROM volunteer.fetch_manifest_v1(:worker, :version, :have)")
_RELEASE = text("SELECT volunteer.release_v1(:worker, :unit, :attempt, :token, :reason, :failed)")
_LEAVE = text("SELECT volunteer.leave_v1(:worker, :reason)")
_RUN_DEFINITION = text("SELECT * FROM watch.run_definitions WHERE run = :run")
# By the units, which have an index: a worker asks only for those it has not heard of yet.
_SETTLED = text("""
    SELECT unit, attempt, state, verdict FROM watch.gradients
     WHERE worker = :worker AND unit = ANY (CAST(:units AS bigint[]))
       AND state IN ('merged', 'rejected', 'discarded')""")
_MERGED_SINCE = text("""
    SELECT coalesce(max(version), :after) AS version, coalesce(sum(num_gradients), 0) AS num_gradients
      FROM watch.merges WHERE run = :run AND version > :after""")
_NOTHING = text("SELECT")
_IS_LED = text("SELECT is_leading FROM watch.coordinators WHERE run = :run")
_NUM_PRESENT = text("SELECT count(*) FROM watch.workers WHERE run = :run AND is_present")
# Bytes travel in binary both ways: as text they would cost twice the bytes and five times the time.
_FETCH_PART = "SELECT volunteer.fetch_part_v1(%b, %b, %b::integer, %t)"
_UPLOAD_PART = "SELECT volunteer.upload_part_v1(%b, %b, %b::integer, %b, %b::integer, %b)"
_SUBMIT = "SELECT volunteer.submit_v1(%b, %b, %b::integer, %b, %t, %b, %b::integer, %b, %b, %t::jsonb, %b::bytea)"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A worker's place in a run, and all that decides what it will compute."""

    worker: WorkerId
    run: RunId
    run_state: RunState
    mode: str
    workload: str
    workload_options: Mapping[str, Any]
    data: Mapping[str, Any]
    training: Mapping[str, Any]
    seed: int
    head_version: Version | None
    lease_seconds: int
    heartbeat_seconds: int
    max_leases: int
    max_part_bytes: int
    max_gradient_bytes: int
    run_created_at: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A unit that is this worker's until the lease ends. Worker, unit, attempt and token fence every write."""

    worker: WorkerId
    unit: UnitId
    attempt: int
    token: UUID
    lease_seconds: int
    epoch: int
    first_sample: int
    num_samples: int
    seed: int
    base_version: Version

    def fence(self) -> dict[str, Any]:
        return {"worker": self.worker, "unit": self.unit, "attempt": self.attempt, "token": self.token}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Directives:
    """What a heartbeat brings home."""

    run_state: RunState
    head_version: Version | None
    lost: frozenset[UnitId]
    cancelled: frozenset[UnitId]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One thing to fetch on the way to a version: weights as a whole, or the delta from the version before."""

    kind: Kind
    version: Version
    # Of the whole weights, where this leg ends.
    sha256: bytes
    num_bytes: int
    # Of what is fetched.
    fetch_bytes: int
    part_sha256s: tuple[bytes, ...]
    # The updates that made this version.
    optimizer_step: int
    # Of a delta.
    codec: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What a worker says of a gradient; the ledger counts parts and bytes itself and compares."""

    codec: str
    num_samples: int
    num_parts: int
    num_bytes: int
    sha256: bytes
    losses: Mapping[str, float]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunDefinition:
    """What decides a run's work, as anybody invited may read it without joining."""

    workload: str
    workload_options: Mapping[str, Any]
    data: Mapping[str, Any]
    training: Mapping[str, Any]
    seed: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of a gradient; `reason` where it was not used."""

    unit: UnitId
    attempt: int
    was_used: bool
    reason: str


def join(
    conn: Connection,
    *,
    run: str,
    name: str,
    host: str,
    device: str,
    capabilities: Mapping[str, Any],
    software: Mapping[str, Any],
    protocol: int = PROTOCOL,
) -> Joined:
    row = conn.execute(
        _JOIN,
        {
            "run": run,
            "name": name,
            "host": host,
            "device": device,
            "capabilities": json.dumps(capabilities),
            "software": json.dumps(software),
            "protocol": protocol,
        },
    ).one()
    return Joined(
        worker=WorkerId(row.worker_id),
        run=RunId(row.run_id),
        run_state=RunState(row.run_state),
        mode=row.mode,
        workload=row.workload,
        workload_options=row.workload_options,
        data=row.data,
        training=row.training,
        seed=row.seed,
        head_version=row.head_version,
        lease_seconds=row.lease_seconds,
        heartbeat_seconds=row.heartbeat_seconds,
        max_leases=row.max_leases,
        max_part_bytes=row.max_part_bytes,
        max_gradient_bytes=row.max_gradient_bytes,
        run_created_at=row.run_created_at,
    )


def claim(conn: Connection, *, worker: WorkerId) -> Lease | None:
    row = conn.execute(_CLAIM, {"worker": worker}).one_or_none()
    if row is None:
        return None
    return Lease(
        worker=worker,
        unit=UnitId(row.unit_id),
        attempt=row.attempt,
        token=row.lease_token,
        lease_seconds=row.lease_seconds,
        epoch=row.epoch,
        first_sample=row.first_sample,
        num_samples=row.num_samples,
        seed=row.seed,
        base_version=Version(row.base_version),
    )


def heartbeat(
    conn: Connection,
    *,
    worker: WorkerId,
    leases: Sequence[Lease],
    phase: str,
    progress: float | None = None,
    samples_per_second: float | None = None,
) -> Directives:
    row = conn.execute(
        _HEARTBEAT,
        {
            "worker": worker,
            "units": [lease.unit for lease in leases],
            "attempts": [lease.attempt for lease in leases],
            "phase": phase,
            "progress": progress,
            "samples_per_second": samples_per_second,
        },
    ).one()
    return Directives(
        run_state=RunState(row.run_state),
        head_version=row.head_version,
        lost=frozenset(row.lost),
        cancelled=frozenset(row.cancelled),
    )


def fetch_manifest(
    conn: Connection, *, worker: WorkerId, version: Version, have: Version | None = None
) -> tuple[Leg, ...]:
    """The way to a version, for one who has the weights of `have`; empty when it was pruned."""
    rows = conn.execute(_FETCH_MANIFEST, {"worker": worker, "version": version, "have": have})
    return tuple(
        Leg(
            kind=row.kind,
            version=Version(row.version),
            sha256=row.sha256,
            num_bytes=row.num_bytes,
            fetch_bytes=row.fetch_bytes,
            part_sha256s=tuple(row.part_sha256s),
            optimizer_step=row.optimizer_step,
            codec=row.codec,
        )
        for row in rows
    )


def fetch_part(
    conn: Connection, *, worker: WorkerId, version: Version, part: int, kind: Kind = "weights"
) -> bytes | None:
    with binary_cursor(conn) as cursor:
        row = cursor.execute(_FETCH_PART, (worker, version, part, kind)).fetchone()
    return None if row is None else row[0]


def upload_part(conn: Connection, *, lease: Lease, part: int, content: bytes | memoryview) -> int:
    """Answers with the bytes of this gradient that have arrived so far."""
    with binary_cursor(conn) as cursor:
        row = cursor.execute(_UPLOAD_PART, (*lease.fence().values(), part, content)).fetchone()
    assert row is not None
    return int(row[0])


def submit(
    conn: Connection, *, lease: Lease, submission: Submission, last_part: bytes | memoryview | None = None
) -> GradientId:
    """The last part may ride along, so that a small gradient needs one round trip."""
    with binary_cursor(conn) as cursor:
        row = cursor.execute(
            _SUBMIT,
            (
                *lease.fence().values(),
                submission.codec,
                submission.num_samples,
                submission.num_parts,
                submission.num_bytes,
                submission.sha256,
                json.dumps(submission.losses),
                last_part,
            ),
        ).fetchone()
    assert row is not None
    return GradientId(row[0])


def release(conn: Connection, *, lease: Lease, reason: str, failed: bool = False) -> None:
    conn.execute(_RELEASE, {**lease.fence(), "reason": reason, "failed": failed})


def leave(conn: Connection, *, worker: WorkerId, reason: str) -> None:
    conn.execute(_LEAVE, {"worker": worker, "reason": reason})


def run_definition(conn: Connection, *, run: str) -> RunDefinition | None:
    row = conn.execute(_RUN_DEFINITION, {"run": run}).one_or_none()
    if row is None:
        return None
    return RunDefinition(
        workload=row.workload,
        workload_options=row.workload_options,
        data=row.data,
        training=row.training,
        seed=row.seed,
    )


def settled(conn: Connection, *, worker: WorkerId, units: Sequence[UnitId]) -> list[Settled]:
    """Those of the worker's submitted gradients for these units whose fate is known."""
    return [
        Settled(
            unit=UnitId(row.unit), attempt=row.attempt, was_used=row.state == "merged", reason=row.verdict or row.state
        )
        for row in conn.execute(_SETTLED, {"worker": worker, "units": list(units)})
    ]


def merged_since(conn: Connection, *, run: str, after: Version) -> tuple[Version, int]:
    """The newest merge, and how many gradients of whomever went into those later than `after`."""
    row = conn.execute(_MERGED_SINCE, {"run": run, "after": after}).one()
    return Version(row.version), int(row.num_gradients)


def num_present(conn: Connection, *, run: str) -> int:
    return int(conn.execute(_NUM_PRESENT, {"run": run}).scalar_one())


def call(conn: Connection) -> None:
    """Asks nothing, for whoever wants to know how long an answer takes."""
    conn.execute(_NOTHING)


def is_led(conn: Connection, *, run: str) -> bool:
    return bool(conn.execute(_IS_LED, {"run": run}).scalar_one_or_none())
