"""What the world may know of a run, and which of its versions it was shown."""

from __future__ import annotations

import dataclasses
import datetime

from sqlalchemy import Connection, text

from contract.ids import RunId, Version

_FACTS = text("""
    SELECT r.started_at, r.finished_at, p.name AS parent, r.parent_version,
           count(g.id) AS num_gradients, coalesce(sum(g.num_samples), 0)::bigint AS num_samples,
           coalesce(sum(g.num_bytes), 0)::bigint AS num_bytes, count(DISTINCT w.volunteer_id) AS num_volunteers
      FROM ledger.runs r
      LEFT JOIN ledger.runs p ON p.id = r.parent_run_id
      LEFT JOIN ledger.gradients g ON g.run_id = r.id AND g.state = 'merged' AND g.merged_version <= :version
      LEFT JOIN ledger.workers w ON w.id = g.worker_id
     WHERE r.id = :run GROUP BY r.id, p.id""")
# Whoever has asked for credit on one of several computers has asked for it; the last word counts.
_CREDITS = text("""
    SELECT credit, sum(num_samples)::bigint AS num_samples
      FROM (SELECT (SELECT left(c.capabilities ->> 'credit', 100) FROM ledger.workers c
                     WHERE c.volunteer_id = w.volunteer_id AND c.run_id = :run ORDER BY c.id DESC LIMIT 1) AS credit,
                   g.num_samples
              FROM ledger.gradients g JOIN ledger.workers w ON w.id = g.worker_id
             WHERE g.run_id = :run AND g.state = 'merged' AND g.merged_version <= :version) merged
     WHERE credit IS NOT NULL GROUP BY credit ORDER BY num_samples DESC, credit""")
_RECORD = text("""
    INSERT INTO ledger.pushes (run_id, version, repository, commit, url)
    VALUES (:run, :version, :repository, :commit, :url)""")
_LAST = text("""
    SELECT version, repository, url, at FROM ledger.pushes
     WHERE run_id = :run AND (CAST(:repository AS text) IS NULL OR repository = :repository)
     ORDER BY id DESC LIMIT 1""")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Up to a version. `credits` are those who asked to be named, with the samples of theirs that were used."""

    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None
    parent: str | None
    parent_version: Version | None
    num_gradients: int
    num_samples: int
    num_bytes: int
    num_volunteers: int
    credits: tuple[tuple[str, int], ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    version: Version
    repository: str
    url: str
    at: datetime.datetime


def facts(conn: Connection, *, run: RunId, version: Version) -> Facts:
    values = {"run": run, "version": version}
    row = conn.execute(_FACTS, values).one()
    return Facts(
        started_at=row.started_at,
        finished_at=row.finished_at,
        parent=row.parent,
        parent_version=row.parent_version,
        num_gradients=row.num_gradients,
        num_samples=row.num_samples,
        num_bytes=row.num_bytes,
        num_volunteers=row.num_volunteers,
        credits=tuple((credit.credit, credit.num_samples) for credit in conn.execute(_CREDITS, values)),
    )


def record_push(conn: Connection, *, run: RunId, version: Version, repository: str, commit: str, url: str) -> None:
    conn.execute(_RECORD, {"run": run, "version": version, "repository": repository, "commit": commit, "url": url})


def last_push(conn: Connection, *, run: RunId, repository: str | None = None) -> Push | None:
    """The newest success, to this repository or to any."""
    row = conn.execute(_LAST, {"run": run, "repository": repository}).one_or_none()
    if row is None:
        return None
    return Push(version=Version(row.version), repository=row.repository, url=row.url, at=row.at)
