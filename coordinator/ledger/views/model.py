"""The versions of the model: how they came about, what was measured of them, what they made, where they were shown."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Final

from sqlalchemy import Connection, text

from contract.ids import Version
from coordinator.ledger.views.selecting import records, select


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SeenVersion:
    """What was published first was merged of nothing: it has neither rule nor gradients."""

    version: Version
    parent: Version | None
    created_at: datetime.datetime
    sha256: str
    num_bytes: int
    is_keyframe: bool
    is_keeper: bool
    delta_codec: str | None
    delta_bytes: int | None
    num_gradients: int | None
    rule: str | None
    merge_seconds: float | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """`value` is NaN where it was no number."""

    version: Version
    name: str
    value: float
    at: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SeenSample:
    version: Version
    media_type: str
    at: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SeenPush:
    version: Version
    repository: str
    commit: str
    url: str
    at: datetime.datetime


_VERSIONS: Final = select(SeenVersion, "versions", "WHERE run = :run ORDER BY version DESC LIMIT CAST(:most AS bigint)")
_LOSSES: Final = select(
    Loss, "losses", "WHERE run = :run AND version > :after ORDER BY version, name LIMIT CAST(:most AS bigint)"
)
_SAMPLES: Final = select(SeenSample, "samples", "WHERE run = :run ORDER BY version")
_CONTENT: Final = text("SELECT content FROM watch.samples WHERE run = :run AND version = :version")
_PUSHES: Final = select(SeenPush, "pushes", "WHERE run = :run ORDER BY at, version")


def newest_versions(conn: Connection, *, run: str, most: int = 100) -> list[SeenVersion]:
    return records(conn, SeenVersion, _VERSIONS, run=run, most=most)


def losses(conn: Connection, *, run: str, after: Version | None = None, most: int | None = None) -> list[Loss]:
    """From the oldest version on, or from the first behind `after`."""
    return records(conn, Loss, _LOSSES, run=run, after=-1 if after is None else after, most=most)


def seen_samples(conn: Connection, *, run: str) -> list[SeenSample]:
    """Which versions have something to show; `sample_content` reads it."""
    return records(conn, SeenSample, _SAMPLES, run=run)


def sample_content(conn: Connection, *, run: str, version: Version) -> bytes | None:
    """A PNG picture or a text in UTF-8; None where that version has nothing to show."""
    found = conn.execute(_CONTENT, {"run": run, "version": version}).scalar_one_or_none()
    return None if found is None else bytes(found)


def seen_pushes(conn: Connection, *, run: str) -> list[SeenPush]:
    return records(conn, SeenPush, _PUSHES, run=run)
