"""The log of what happened to whom."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, text

from coordinator.tables import NOTABLE_EVENT

_COLUMNS = """event, at, run, subject, subject_id, old_state, new_state, since, volunteer, display_name AS person,
           worker, reason"""
_NOTABLE_OF_RUN = f"run = :run AND ({NOTABLE_EVENT})"
# Who was invited and who was revoked belongs to no run.
_ALL_OF_RUN = "(run = :run OR run IS NULL)"
_NEWEST = f"SELECT {_COLUMNS} FROM watch.events WHERE {{which}} ORDER BY event DESC LIMIT :limit"  # noqa: S608  ours
_LATER = f"SELECT {_COLUMNS} FROM watch.events WHERE {{which}} AND event > :after ORDER BY event LIMIT :limit"  # noqa: S608
_NEWEST_NOTABLE, _NEWEST_OF_ALL = (text(_NEWEST.format(which=which)) for which in (_NOTABLE_OF_RUN, _ALL_OF_RUN))
_LATER_NOTABLE, _LATER_OF_ALL = (text(_LATER.format(which=which)) for which in (_NOTABLE_OF_RUN, _ALL_OF_RUN))
# Both ends from the primary key. What happened to runs and people is rare, and stays.
_FORGET = text("""
    WITH old AS (
        SELECT id, subject FROM ledger.events
         WHERE id > :above AND id <= (SELECT max(id) FROM ledger.events) - :keep
         ORDER BY id LIMIT :at_most
    ), gone AS (
        DELETE FROM ledger.events e USING old
         WHERE e.id = old.id AND old.subject IN ('unit', 'gradient') RETURNING e.id
    )
    SELECT (SELECT max(id) FROM old) AS up_to, (SELECT count(*) FROM gone) AS num_events""")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`since` is when the old state began, where that is told. `person` is the volunteer's name for people."""

    event: int
    at: datetime.datetime
    run: str | None
    subject: str
    subject_id: int | None
    old_state: str | None
    new_state: str
    since: datetime.datetime | None
    volunteer: str | None
    person: str | None
    worker: int | None
    reason: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """`up_to` is the newest event that was looked at; None when all are to be kept."""

    up_to: int | None
    num_events: int


def newest_events(conn: Connection, *, run: str, limit: int, everything: bool = False) -> list[Event]:
    """From the newest to the oldest: what somebody would want to hear of, or everything."""
    statement = _NEWEST_OF_ALL if everything else _NEWEST_NOTABLE
    return _events(conn.execute(statement, {"run": run, "limit": limit}))


def later_events(conn: Connection, *, run: str, after: int, limit: int, everything: bool = False) -> list[Event]:
    """From the oldest to the newest. One that was written before `after` may be committed after it."""
    statement = _LATER_OF_ALL if everything else _LATER_NOTABLE
    return _events(conn.execute(statement, {"run": run, "after": after, "limit": limit}))


def forget_events(conn: Connection, *, above: int, keep: int, at_most: int) -> Forgotten:
    """Deletes what is older than the newest `keep` events, from the old end."""
    row = conn.execute(_FORGET, {"above": above, "keep": keep, "at_most": at_most}).one()
    return Forgotten(up_to=row.up_to, num_events=row.num_events)


def _events(rows: Iterable[Row[Any]]) -> list[Event]:
    return [Event(**row._mapping) for row in rows]
