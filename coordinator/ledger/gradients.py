"""Gradients: which wait, what became of them, and the space they took."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Row, text

from contract.database import binary_cursor
from contract.errors import IllegalTransition, LockHeld
from contract.ids import GradientId, RunId, UnitId, Version, WorkerId

_GRADIENTS = """
    SELECT g.id, g.unit_id, g.attempt, g.worker_id, g.base_version, g.codec, g.num_samples,
           u.num_samples AS unit_samples, g.num_bytes, g.num_parts, g.sha256, g.losses,
           extract(epoch FROM g.submitted_at)::float8 AS submitted_at,
           extract(epoch FROM now() - g.submitted_at)::float8 AS waited_seconds
      FROM ledger.gradients g JOIN ledger.work_units u ON u.id = g.unit_id"""
_WAITING = text(_GRADIENTS + " WHERE g.run_id = :run AND g.state = 'submitted' ORDER BY g.id")
_THESE = text(_GRADIENTS + " WHERE g.id = ANY (CAST(:gradients AS bigint[])) ORDER BY g.id")
_MERGED_RANGES = text("""
    SELECT g.merged_version, u.epoch, u.first_sample
      FROM ledger.gradients g JOIN ledger.work_units u ON u.id = g.unit_id
     WHERE g.run_id = :run AND g.state = 'merged' ORDER BY g.merged_version""")
_COUNT_WAITING = text("SELECT count(*) FROM ledger.gradients WHERE run_id = :run AND state = 'submitted'")
_PART_SIZES = text("""
    SELECT octet_length(content) AS num_bytes FROM ledger.gradient_blobs WHERE gradient_id = :gradient ORDER BY part""")
_DISCARD = text("""
    UPDATE ledger.gradients SET state = 'discarded', verdict = :verdict, finished_at = now()
     WHERE id = ANY (CAST(:gradients AS bigint[])) AND state = 'submitted' RETURNING unit_id""")
_CANCEL_UNITS = text("""
    UPDATE ledger.work_units SET state = 'cancelled', state_reason = :verdict, finished_at = now()
     WHERE id = ANY (CAST(:units AS bigint[])) AND state = 'submitted'""")
_MARK_MERGED = text("""
    UPDATE ledger.gradients g
       SET state = 'merged', weight = m.weight, merged_version = :version, finished_at = now()
      FROM unnest(CAST(:gradients AS bigint[]), CAST(:weights AS double precision[])) AS m (gradient, weight)
     WHERE g.id = m.gradient AND g.run_id = :run AND g.state = 'submitted'""")
_UNITS_MERGED = text("""
    UPDATE ledger.work_units u SET state = 'merged', finished_at = now()
      FROM ledger.gradients g
     WHERE g.id = ANY (CAST(:gradients AS bigint[])) AND u.id = g.unit_id AND u.attempt = g.attempt
       AND u.state = 'submitted'""")
_REJECT = text("""
    UPDATE ledger.gradients SET state = 'rejected', verdict = :verdict, finished_at = now()
     WHERE id = :gradient AND state = 'submitted' RETURNING unit_id, attempt""")
_REOPEN = text("""
    UPDATE ledger.work_units u
       SET num_failures = u.num_failures + 1, state_reason = :verdict,
           state = CASE WHEN u.num_failures < r.max_retries THEN 'open' ELSE 'failed' END,
           finished_at = CASE WHEN u.num_failures < r.max_retries THEN NULL ELSE now() END
      FROM ledger.runs r
     WHERE u.id = :unit AND u.attempt = :attempt AND u.state = 'submitted' AND r.id = u.run_id""")
_REOPEN_SOUND = text("""
    UPDATE ledger.work_units SET state = 'open', state_reason = :verdict
     WHERE id = :unit AND attempt = :attempt AND state = 'submitted'""")
# Read once, when a coordinator begins; afterwards it sees each submission itself.
_LAST_SUBMISSIONS = text("""
    SELECT id, worker_id, submitted_at
      FROM (SELECT g.id, g.worker_id, extract(epoch FROM g.submitted_at)::float8 AS submitted_at,
                   row_number() OVER (PARTITION BY g.worker_id ORDER BY g.submitted_at DESC) AS place
              FROM ledger.gradients g WHERE g.run_id = :run AND g.submitted_at IS NOT NULL) recent
     WHERE place <= :each""")
# An upload whose lease has ended will never be submitted.
_DISCARD_STALE = text("""
    UPDATE ledger.gradients g
       SET state = 'discarded', verdict = 'its lease ended before it was complete', finished_at = now()
      FROM (SELECT g.id FROM ledger.gradients g JOIN ledger.work_units u ON u.id = g.unit_id
             WHERE g.run_id = :run AND g.state = 'uploading' AND (u.state <> 'leased' OR u.attempt <> g.attempt)
               FOR UPDATE OF g SKIP LOCKED) stale
     WHERE g.id = stale.id
    RETURNING g.id""")
_FORGET_BLOBS = text("""
    DELETE FROM ledger.gradient_blobs b USING ledger.gradients g
     WHERE g.id = b.gradient_id AND g.run_id = :run
       AND (g.state IN ('rejected', 'discarded') OR (g.state = 'merged' AND g.merged_version <= :up_to))""")
_VACUUM_BLOBS = text("VACUUM (SKIP_LOCKED) ledger.gradient_blobs")
_WAIT_BRIEFLY = text("SET lock_timeout = '1s'")
_WAIT_AS_BEFORE = text("RESET lock_timeout")
_AUTHORS = text("""
    SELECT g.id, coalesce(v.display_name, v.name, '(gone)') AS name
      FROM ledger.gradients g
      LEFT JOIN ledger.workers w ON w.id = g.worker_id
      LEFT JOIN ledger.volunteers v ON v.id = w.volunteer_id
     WHERE g.id = ANY (CAST(:gradients AS bigint[]))""")
_PRUNED = text("""
    SELECT g.id FROM ledger.gradients g
     WHERE g.id = ANY (CAST(:gradients AS bigint[]))
       AND g.num_parts > (SELECT count(*) FROM ledger.gradient_blobs b WHERE b.gradient_id = g.id)
     ORDER BY g.id""")
# Content is stored as it is (EXTERNAL), so the database reads no more of it than this.
_READ_RANGE = """
    SELECT substring(content FROM %b::integer FOR %b::integer)
      FROM ledger.gradient_blobs WHERE gradient_id = %b AND part = %b::integer"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WaitingGradient:
    """A submitted gradient. Its base version is what the ledger recorded at the claim, not what the worker says."""

    gradient: GradientId
    unit: UnitId
    attempt: int
    worker: WorkerId
    base_version: Version
    codec: str
    num_samples: int
    unit_samples: int
    num_bytes: int
    num_parts: int
    sha256: bytes
    losses: Mapping[str, float]
    # In seconds of the database's clock.
    submitted_at: float
    waited_seconds: float


def waiting_gradients(conn: Connection, *, run: RunId) -> list[WaitingGradient]:
    return [_gradient(row) for row in conn.execute(_WAITING, {"run": run})]


def read_gradients(conn: Connection, *, gradients: Sequence[GradientId]) -> list[WaitingGradient]:
    """As they were when they waited."""
    return [_gradient(row) for row in conn.execute(_THESE, {"gradients": list(gradients)})]


def merged_ranges(conn: Connection, *, run: RunId) -> list[tuple[Version, int, int]]:
    """Of every unit that moved the model: the version that it made, its epoch and its first sample."""
    rows = conn.execute(_MERGED_RANGES, {"run": run})
    return [(Version(row.merged_version), row.epoch, row.first_sample) for row in rows]


def _gradient(row: Row[Any]) -> WaitingGradient:
    return WaitingGradient(
        gradient=GradientId(row.id),
        unit=UnitId(row.unit_id),
        attempt=row.attempt,
        worker=WorkerId(row.worker_id),
        base_version=Version(row.base_version),
        codec=row.codec,
        num_samples=row.num_samples,
        unit_samples=row.unit_samples,
        num_bytes=row.num_bytes,
        num_parts=row.num_parts,
        sha256=row.sha256,
        losses=row.losses,
        submitted_at=row.submitted_at,
        waited_seconds=row.waited_seconds,
    )


def authors(conn: Connection, *, gradients: Sequence[GradientId]) -> dict[GradientId, str]:
    """The people whose workers computed them, by the names that the class knows."""
    return {GradientId(row.id): row.name for row in conn.execute(_AUTHORS, {"gradients": list(gradients)})}


def pruned(conn: Connection, *, gradients: Sequence[GradientId]) -> list[GradientId]:
    """Those of them whose bytes are not all there any more."""
    return [GradientId(row) for row in conn.execute(_PRUNED, {"gradients": list(gradients)}).scalars()]


def count_waiting(conn: Connection, *, run: RunId) -> int:
    return int(conn.execute(_COUNT_WAITING, {"run": run}).scalar_one())


def read_range(conn: Connection, *, gradient: GradientId, part: int, start: int, num_bytes: int) -> bytes | None:
    """From `start`, counted from 0, so many bytes of a part."""
    with binary_cursor(conn) as cursor:
        row: tuple[Any, ...] | None = cursor.execute(_READ_RANGE, (start + 1, num_bytes, gradient, part)).fetchone()
    return None if row is None else row[0]


def part_sizes(conn: Connection, *, gradient: GradientId) -> list[int]:
    return list(conn.execute(_PART_SIZES, {"gradient": gradient}).scalars())


def discard_late(conn: Connection, *, gradients: Sequence[GradientId], verdict: str) -> list[UnitId]:
    """Sound, but of a round or a run that is over: their units are cancelled, and the samples go back to the epoch."""
    units = list(conn.execute(_DISCARD, {"gradients": list(gradients), "verdict": verdict}).scalars())
    conn.execute(_CANCEL_UNITS, {"units": units, "verdict": verdict})
    return [UnitId(unit) for unit in units]


def mark_merged(
    conn: Connection, *, run: RunId, version: Version, gradients: Sequence[GradientId], weights: Sequence[float]
) -> None:
    values = {"run": run, "version": version, "gradients": list(gradients), "weights": list(weights)}
    num_merged = conn.execute(_MARK_MERGED, values).rowcount
    if num_merged != len(gradients):
        raise IllegalTransition(f"{len(gradients) - num_merged} of {len(gradients)} gradients do not wait for a merge")
    conn.execute(_UNITS_MERGED, {"gradients": list(gradients)})


def reject(conn: Connection, *, gradient: GradientId, verdict: str) -> None:
    """The gradient is not used, and says why; its samples are computed again."""
    rejected = conn.execute(_REJECT, {"gradient": gradient, "verdict": verdict}).one_or_none()
    if rejected is None:
        raise IllegalTransition(f"gradient {gradient} does not wait for a merge")
    conn.execute(_REOPEN, {"unit": rejected.unit_id, "attempt": rejected.attempt, "verdict": verdict})


def refuse_stale(conn: Connection, *, gradient: GradientId, verdict: str) -> None:
    """Sound, but too late: its samples are computed again, and that counts against nobody."""
    refused = conn.execute(_REJECT, {"gradient": gradient, "verdict": verdict}).one_or_none()
    if refused is None:
        raise IllegalTransition(f"gradient {gradient} does not wait for a merge")
    conn.execute(_REOPEN_SOUND, {"unit": refused.unit_id, "attempt": refused.attempt, "verdict": verdict})


def last_submissions(conn: Connection, *, run: RunId, each: int) -> list[tuple[GradientId, WorkerId, float]]:
    """Of each worker the last so many, with the database's time in seconds."""
    rows = conn.execute(_LAST_SUBMISSIONS, {"run": run, "each": each})
    return [(GradientId(row.id), WorkerId(row.worker_id), row.submitted_at) for row in rows]


def discard_stale_uploads(conn: Connection, *, run: RunId) -> list[GradientId]:
    return [GradientId(row) for row in conn.execute(_DISCARD_STALE, {"run": run}).scalars()]


def forget_blobs(conn: Connection, *, run: RunId, up_to: Version) -> int:
    """Frees the bytes of gradients that were refused, or merged into a version up to this one; their records stay."""
    return conn.execute(_FORGET_BLOBS, {"run": run, "up_to": up_to}).rowcount


def reclaim_space(engine: Engine) -> None:
    """Makes the pages of forgotten blobs free for the next ones now: autovacuum looks once a minute, and a minute of
    uploads is gigabytes."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(_WAIT_BRIEFLY)
        try:
            conn.execute(_VACUUM_BLOBS)
        except LockHeld:
            # The pages are free by then. VACUUM ends with a note in the database's row of the catalogue, which any
            # login can hold with a GRANT that grants nothing; the next one makes up for it.
            pass
        finally:
            conn.execute(_WAIT_AS_BEFORE)
