"""The log of what happened to whom."""

from __future__ import annotations

import dataclasses
from typing import Final

from sqlalchemy import Connection, text

from coordinator.ledger.views.selecting import records, select
from coordinator.ledger.views.work import LoggedEvent
from coordinator.tables import NOTABLE_EVENT

_NOTABLE_OF_RUN: Final = f"run = :run AND ({NOTABLE_EVENT})"
# Who was invited and who was revoked belongs to no run.
_ALL_OF_RUN: Final = "(run = :run OR run IS NULL)"
_NEWEST_NOTABLE, _NEWEST_OF_ALL = (
    select(LoggedEvent, "events", f"WHERE {which} ORDER BY event DESC LIMIT :limit")
    for which in (_NOTABLE_OF_RUN, _ALL_OF_RUN)
)
_LATER_NOTABLE, _LATER_OF_ALL = (
    select(LoggedEvent, "events", f"WHERE {which} AND event > :after ORDER BY event LIMIT :limit")
    for which in (_NOTABLE_OF_RUN, _ALL_OF_RUN)
)
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
class Forgotten:
    """`up_to` is the newest event that was looked at; None when all are to be kept."""

    up_to: int | None
    num_events: int


def newest_told(conn: Connection, *, run: str, limit: int, everything: bool = False) -> list[LoggedEvent]:
    """From the newest to the oldest: what somebody would want to hear of, or everything."""
    statement = _NEWEST_OF_ALL if everything else _NEWEST_NOTABLE
    return records(conn, LoggedEvent, statement, run=run, limit=limit)


def later_told(conn: Connection, *, run: str, after: int, limit: int, everything: bool = False) -> list[LoggedEvent]:
    """From the oldest to the newest. One that was written before `after` may be committed after it."""
    statement = _LATER_OF_ALL if everything else _LATER_NOTABLE
    return records(conn, LoggedEvent, statement, run=run, after=after, limit=limit)


def forget_events(conn: Connection, *, above: int, keep: int, at_most: int) -> Forgotten:
    """Deletes what is older than the newest `keep` events, from the old end."""
    row = conn.execute(_FORGET, {"above": above, "keep": keep, "at_most": at_most}).one()
    return Forgotten(up_to=row.up_to, num_events=row.num_events)
