"""What versions of the model made when they were asked, kept to be looked at from version to version."""

from __future__ import annotations

import dataclasses

from sqlalchemy import Connection, text

from contract.ids import RunId, Version

_ADD = text("""
    INSERT INTO ledger.samples (run_id, version, media_type, content) VALUES (:run, :version, :media_type, :content)
    ON CONFLICT (run_id, version) DO UPDATE SET media_type = excluded.media_type, content = excluded.content""")
_LAST = text("SELECT max(version) FROM ledger.samples WHERE run_id = :run")
_VERSIONS = text("SELECT version FROM ledger.samples WHERE run_id = :run ORDER BY version")
_READ = text("""
    SELECT version, media_type, content FROM ledger.samples
     WHERE run_id = :run AND version = ANY(CAST(:versions AS bigint[])) ORDER BY version""")
# The first and the last stay, and every other one in between: however long a run, its whole way can be seen.
_THIN = text("""
    DELETE FROM ledger.samples s
     USING (SELECT version, row_number() OVER (ORDER BY version) AS place, count(*) OVER () AS number
              FROM ledger.samples WHERE run_id = :run) placed
     WHERE s.run_id = :run AND s.version = placed.version AND placed.number > :most
       AND placed.place % 2 = 0 AND placed.place < placed.number""")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeptSample:
    version: Version
    media_type: str
    content: bytes


def add_sample(conn: Connection, *, run: RunId, version: Version, media_type: str, content: bytes) -> None:
    conn.execute(_ADD, {"run": run, "version": version, "media_type": media_type, "content": content})


def thin_samples(conn: Connection, *, run: RunId, most: int) -> None:
    """Once there are more than `most`, every second one goes."""
    conn.execute(_THIN, {"run": run, "most": most})


def last_with_sample(conn: Connection, *, run: RunId) -> Version | None:
    found: int | None = conn.execute(_LAST, {"run": run}).scalar_one()
    return None if found is None else Version(found)


def versions_with_samples(conn: Connection, *, run: RunId) -> list[Version]:
    return [Version(number) for number in conn.execute(_VERSIONS, {"run": run}).scalars()]


def read_samples(conn: Connection, *, run: RunId, versions: list[Version]) -> list[KeptSample]:
    rows = conn.execute(_READ, {"run": run, "versions": versions})
    return [
        KeptSample(version=Version(row.version), media_type=row.media_type, content=bytes(row.content)) for row in rows
    ]
