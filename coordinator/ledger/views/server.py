"""Who leads each run, and how the database itself is."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Final

from sqlalchemy import Connection

from coordinator.ledger.views.selecting import records, select


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Leading:
    """Without a leader nothing is handed out or merged: workers wait."""

    run: str
    host: str | None
    elected_at: datetime.datetime | None
    is_leading: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HealthItem:
    item: str
    value: float
    unit: str
    is_fine: bool
    note: str


_LEADING: Final = select(Leading, "coordinators", "WHERE run = :run")
# What is not fine first.
_DATABASE_HEALTH: Final = select(HealthItem, "database_health", "ORDER BY is_fine, item")


def leading(conn: Connection, *, run: str) -> Leading | None:
    """None where there is no such run."""
    found = records(conn, Leading, _LEADING, run=run)
    return found[0] if found else None


def database_health(conn: Connection) -> list[HealthItem]:
    return records(conn, HealthItem, _DATABASE_HEALTH)
