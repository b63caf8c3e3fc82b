"""The record of a run, row by row however long it is: what an export writes down. From the views alone."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, Row, TextClause, text

from contract.errors import NotFound

_AT_A_TIME: Final = 5_000

_RUNS = text("SELECT run FROM watch.run_definitions ORDER BY run")
_NOW = text("SELECT now()")
_SEES_EVERYTHING = text("SELECT has_schema_privilege('ledger', 'USAGE')")
_UNITS = text("""
    SELECT unit, epoch, first_sample, num_samples, state, state_reason, attempt, num_failures, volunteer, worker,
           base_version, created_at, leased_at, finished_at
      FROM watch.units WHERE run = :run ORDER BY unit""")
_LOSSES = text("SELECT version, name, value, at FROM watch.losses WHERE run = :run ORDER BY version, name")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class UnitRecord:
    """`attempt` counts how often it was handed out; `volunteer` and `worker` had it last."""

    unit: int
    epoch: int
    first_sample: int
    num_samples: int
    state: str
    state_reason: str | None
    attempt: int
    num_failures: int
    volunteer: str | None
    worker: int | None
    base_version: int | None
    created_at: datetime.datetime
    leased_at: datetime.datetime | None
    finished_at: datetime.datetime | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LossRecord:
    version: int
    name: str
    value: float
    at: datetime.datetime


def run_names(conn: Connection) -> list[str]:
    return list(conn.execute(_RUNS).scalars())


def require_run(conn: Connection, *, run: str) -> None:
    """Refuses a name that no run of this ledger has, and says which there are."""
    names = run_names(conn)
    if run in names:
        return
    if not names:
        raise NotFound("this ledger has no run yet; `coordinator start` makes the one of the configuration")
    there = ", ".join(names[:20]) + (" and more" if len(names) > 20 else "")
    raise NotFound(f"there is no run named {run!r} in this ledger, only {there}; --name chooses one")


def now(conn: Connection) -> datetime.datetime:
    """By the clock that set all the others of the ledger."""
    at: datetime.datetime = conn.execute(_NOW).scalar_one()
    return at


def sees_everything(conn: Connection) -> bool:
    """Whether this login may read more than the views."""
    return bool(conn.execute(_SEES_EVERYTHING).scalar_one())


def unit_records(conn: Connection, *, run: str) -> Iterator[UnitRecord]:
    for row in _streamed(conn, _UNITS, run):
        yield UnitRecord(**row._mapping)


def loss_records(conn: Connection, *, run: str) -> Iterator[LossRecord]:
    for row in _streamed(conn, _LOSSES, run):
        yield LossRecord(**row._mapping)


def _streamed(conn: Connection, statement: TextClause, run: str) -> Iterator[Row[Any]]:
    """A few thousand rows at a time, from a cursor of the server's."""
    with conn.execution_options(yield_per=_AT_A_TIME).execute(statement, {"run": run}) as result:
        yield from result
