"""The chain of contributions in the ledger: new links, all links, and where the rest of the ledger says otherwise."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, text

from contract.database import streaming_cursor
from contract.ids import GradientId, RunId, UnitId, Version, WorkerId
from coordinator.chain import Link

# A trigger makes the rest of each link.
_LINK = text("""
    INSERT INTO ledger.contributions (gradient_id)
    SELECT merged.gradient
      FROM unnest(CAST(:gradients AS bigint[])) WITH ORDINALITY AS merged (gradient, place) ORDER BY merged.place""")
# Which of the two is right is not asked here: most agree, and of those that do not, the next statement tells more.
_LINKS = """
    SELECT c.number, c.gradient_id, c.unit_id, c.attempt, c.volunteer, c.worker_id, c.version, c.num_samples, c.weight,
           c.sha256, timestamptz_send(c.merged_at), c.previous, c.hash,
           g.id IS NULL
           OR (g.state = 'merged'
               AND (g.run_id, g.unit_id, g.attempt, g.worker_id) = (c.run_id, c.unit_id, c.attempt, c.worker_id)
               AND (g.merged_version, g.num_samples, g.weight, g.finished_at)
                 = (c.version, c.num_samples, c.weight, c.merged_at)
               AND c.sha256 IS NOT DISTINCT FROM CASE WHEN %t THEN NULL ELSE g.sha256 END
               AND coalesce(v.name, c.volunteer) = c.volunteer) IS TRUE AS agrees
      FROM ledger.contributions c
      LEFT JOIN ledger.gradients g ON g.id = c.gradient_id
      LEFT JOIN ledger.workers w ON w.id = g.worker_id
      LEFT JOIN ledger.volunteers v ON v.id = w.volunteer_id
     WHERE c.run_id = %b ORDER BY c.number"""
# All that a hash covers, for whoever may read no more.
_SHOWN_LINKS = """
    SELECT number, gradient, unit, attempt, volunteer, worker, version, num_samples, weight, decode(sha256, 'hex'),
           timestamptz_send(merged_at), decode(previous, 'hex'), decode(hash, 'hex')
      FROM watch.contributions WHERE run = %t ORDER BY number"""
_SEED = text("SELECT seed FROM watch.run_definitions WHERE run = :run")
_GRADIENT = text("""
    SELECT r.name AS run, g.state, g.unit_id, g.attempt, v.name AS volunteer, g.worker_id, g.merged_version,
           g.num_samples, g.weight, g.sha256, timestamptz_send(g.finished_at) AS merged_at
      FROM ledger.gradients g
      JOIN ledger.runs r ON r.id = g.run_id
      LEFT JOIN ledger.workers w ON w.id = g.worker_id
      LEFT JOIN ledger.volunteers v ON v.id = w.volunteer_id
     WHERE g.id = :gradient""")
_UNLINKED = text("""
    SELECT g.id, g.merged_version FROM ledger.gradients g
     WHERE g.run_id = :run AND g.state = 'merged'
       AND NOT EXISTS (SELECT FROM ledger.contributions c WHERE c.gradient_id = g.id AND c.run_id = g.run_id)
     ORDER BY g.merged_version, g.id LIMIT 1""")
# Aggregations may be pruned from the old end; one that is gone between others was not.
_OTHERWISE_MERGED = text("""
    WITH linked AS (
        SELECT version, min(number) AS first, array_agg(gradient_id ORDER BY number) AS gradients,
               CASE WHEN count(sha256) = count(*) THEN sha256(string_agg(sha256, '' ORDER BY number)) END AS digest
          FROM ledger.contributions WHERE run_id = :run GROUP BY version),
         merged AS (
        SELECT version, gradient_ids, input_sha256 FROM ledger.aggregations WHERE run_id = :run)
    SELECT version, l.first, l.gradients, m.gradient_ids AS merged
      FROM linked l FULL JOIN merged m USING (version)
     WHERE version >= (SELECT min(version) FROM merged)
       AND (l.gradients IS DISTINCT FROM m.gradient_ids OR l.digest <> m.input_sha256)
     ORDER BY version LIMIT 1""")
_AT_A_TIME = 2000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What a link should say of its gradient. A volunteer who is gone has no name."""

    run: str
    state: str
    unit: UnitId
    attempt: int
    volunteer: str | None
    worker: WorkerId
    version: Version | None
    num_samples: int | None
    weight: float | None
    sha256: bytes | None
    merged_at: int | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OtherwiseMerged:
    """A version whose links and whose aggregation name other gradients; or the same ones with other checksums."""

    version: Version
    first_link: int | None
    linked: Sequence[GradientId]
    merged: Sequence[GradientId]


def link_merged(conn: Connection, *, gradients: Sequence[GradientId]) -> None:
    """In this order."""
    conn.execute(_LINK, {"gradients": list(gradients)})


def stream_links(conn: Connection, *, run: RunId, is_private: bool) -> Iterator[tuple[Link, bool]]:
    """In their order, each with whether the gradient it names says the same; one that is gone contradicts nothing."""
    with streaming_cursor(conn, name="links", rows_at_a_time=_AT_A_TIME) as cursor:
        cursor.execute(_LINKS, (is_private, run))
        for row in cursor:
            yield _link(row), row[13]


def stream_shown_links(conn: Connection, *, run: str) -> Iterator[Link]:
    """In their order, from the view that everybody may read."""
    with streaming_cursor(conn, name="links", rows_at_a_time=_AT_A_TIME) as cursor:
        cursor.execute(_SHOWN_LINKS, (run,))
        yield from map(_link, cursor)


def shown_seed(conn: Connection, *, run: str) -> int:
    seed: int = conn.execute(_SEED, {"run": run}).scalar_one()
    return seed


def find_merged(conn: Connection, *, gradient: GradientId) -> Merged | None:
    row = conn.execute(_GRADIENT, {"gradient": gradient}).one_or_none()
    if row is None:
        return None
    return Merged(
        run=row.run,
        state=row.state,
        unit=UnitId(row.unit_id),
        attempt=row.attempt,
        volunteer=row.volunteer,
        worker=WorkerId(row.worker_id),
        version=row.merged_version,
        num_samples=row.num_samples,
        weight=row.weight,
        sha256=row.sha256,
        merged_at=None if row.merged_at is None else _microseconds(row.merged_at),
    )


def first_unlinked(conn: Connection, *, run: RunId) -> tuple[GradientId, Version] | None:
    """A merged gradient without a link."""
    row = conn.execute(_UNLINKED, {"run": run}).one_or_none()
    return None if row is None else (GradientId(row.id), Version(row.merged_version))


def first_otherwise_merged(conn: Connection, *, run: RunId) -> OtherwiseMerged | None:
    row = conn.execute(_OTHERWISE_MERGED, {"run": run}).one_or_none()
    if row is None:
        return None
    return OtherwiseMerged(
        version=Version(row.version),
        first_link=row.first,
        linked=[GradientId(gradient) for gradient in row.gradients or ()],
        merged=[GradientId(gradient) for gradient in row.merged or ()],
    )


def _link(row: Sequence[Any]) -> Link:
    return Link(
        number=row[0],
        gradient=row[1],
        unit=row[2],
        attempt=row[3],
        volunteer=row[4],
        worker=row[5],
        version=row[6],
        num_samples=row[7],
        weight=row[8],
        sha256=row[9],
        merged_at=_microseconds(row[10]),
        previous=row[11],
        hash=row[12],
    )


def _microseconds(sent: bytes) -> int:
    """Of what Python has no moment for, too, as infinity."""
    return int.from_bytes(sent, signed=True)
