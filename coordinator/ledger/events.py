"""The log of what happened to whom."""

from __future__ import annotations

import dataclasses

from sqlalchemy import Connection, text

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


def forget_events(conn: Connection, *, above: int, keep: int, at_most: int) -> Forgotten:
    """Deletes what is older than the newest `keep` events, from the old end."""
    row = conn.execute(_FORGET, {"above": above, "keep": keep, "at_most": at_most}).one()
    return Forgotten(up_to=row.up_to, num_events=row.num_events)
