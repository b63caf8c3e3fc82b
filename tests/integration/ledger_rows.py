"""Rows of the ledger in any state, made by the owner with plain UPDATEs along the allowed edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, text

from contract.states import GradientState, RunState, UnitState

# What data must look like in each state.
UNIT_LOOKS: Final[Mapping[UnitState, str]] = {
    UnitState.OPEN: "lease_token = NULL, lease_expires_at = NULL, finished_at = NULL",
    UnitState.LEASED: "attempt = attempt + 1, worker_id = 1, base_version = 0, lease_token = gen_random_uuid(),"
    " leased_at = now(), lease_expires_at = now() + interval '5 minutes', finished_at = NULL",
    UnitState.SUBMITTED: "attempt = greatest(attempt, 1), worker_id = 1, base_version = 0, lease_token = NULL,"
    " lease_expires_at = NULL, finished_at = NULL",
    UnitState.MERGED: "attempt = greatest(attempt, 1), worker_id = 1, base_version = 0, lease_token = NULL,"
    " lease_expires_at = NULL, finished_at = now()",
    UnitState.FAILED: "lease_token = NULL, lease_expires_at = NULL, finished_at = now()",
    UnitState.CANCELLED: "lease_token = NULL, lease_expires_at = NULL, finished_at = now()",
}
_COMPLETE = "codec = 'none', num_samples = 10, num_parts = 1, sha256 = sha256('x'), submitted_at = now()"
GRADIENT_LOOKS: Final[Mapping[GradientState, str]] = {
    GradientState.UPLOADING: "finished_at = NULL, merged_version = NULL",
    GradientState.SUBMITTED: f"{_COMPLETE}, finished_at = NULL, merged_version = NULL",
    GradientState.MERGED: f"{_COMPLETE}, finished_at = now(), merged_version = 1, weight = 1",
    GradientState.REJECTED: f"{_COMPLETE}, finished_at = now(), merged_version = NULL, verdict = 'too large'",
    GradientState.DISCARDED: "finished_at = now(), merged_version = NULL, verdict = 'too late'",
}
RUN_LOOKS: Final[Mapping[RunState, str]] = {
    RunState.CREATED: "finished_at = NULL",
    RunState.RUNNING: "started_at = now(), head_version = 0, finished_at = NULL",
    RunState.PAUSED: "started_at = now(), head_version = 0, finished_at = NULL",
    RunState.FINISHED: "started_at = now(), head_version = 0, finished_at = now()",
    RunState.FAILED: "finished_at = NULL",
}
LOOKS: Final[Mapping[str, Mapping[StrEnum, str]]] = {
    "work_units": dict(UNIT_LOOKS.items()),
    "gradients": dict(GRADIENT_LOOKS.items()),
    "runs": dict(RUN_LOOKS.items()),
}
_PATHS: Final[Mapping[str, Mapping[StrEnum, Sequence[StrEnum]]]] = {
    "work_units": {
        UnitState.OPEN: [],
        UnitState.LEASED: [UnitState.LEASED],
        UnitState.SUBMITTED: [UnitState.LEASED, UnitState.SUBMITTED],
        UnitState.MERGED: [UnitState.LEASED, UnitState.SUBMITTED, UnitState.MERGED],
        UnitState.FAILED: [UnitState.LEASED, UnitState.FAILED],
        UnitState.CANCELLED: [UnitState.CANCELLED],
    },
    "gradients": {
        GradientState.UPLOADING: [],
        GradientState.SUBMITTED: [GradientState.SUBMITTED],
        GradientState.MERGED: [GradientState.SUBMITTED, GradientState.MERGED],
        GradientState.REJECTED: [GradientState.SUBMITTED, GradientState.REJECTED],
        GradientState.DISCARDED: [GradientState.DISCARDED],
    },
    "runs": {
        RunState.CREATED: [],
        RunState.RUNNING: [RunState.RUNNING],
        RunState.PAUSED: [RunState.RUNNING, RunState.PAUSED],
        RunState.FINISHED: [RunState.RUNNING, RunState.FINISHED],
        RunState.FAILED: [RunState.FAILED],
    },
}
NEW_RUN: Final = """
    INSERT INTO ledger.runs (name, state, mode, workload, seed, next_position)
    VALUES ('row-' || gen_random_uuid(), 'created', 'sync', 'none', 0, 1000) RETURNING id"""
NEW_UNIT: Final = """
    INSERT INTO ledger.work_units (run_id, position, epoch, first_sample, num_samples, seed, state)
    VALUES (:run, 0, 0, 0, 10, 0, 'open') RETURNING id"""
NEW_GRADIENT: Final = """
    INSERT INTO ledger.gradients (run_id, unit_id, attempt, worker_id, base_version, state)
    VALUES (:run, 1, 1, 1, 0, 'uploading') RETURNING id"""


def new_row(conn: Connection, table: str, state: StrEnum) -> int:
    """A row in that state, in a run of its own."""
    run: int = conn.execute(text(NEW_RUN)).scalar_one()
    row = run
    if table != "runs":
        statement = NEW_UNIT if table == "work_units" else NEW_GRADIENT
        row = conn.execute(text(statement), {"run": run}).scalar_one()
    for step in _PATHS[table][state]:
        move(conn, table, row, step)
    return row


def move(conn: Connection, table: str, row: int, state: StrEnum) -> None:
    """To that state, with the data that belongs to it."""
    look = LOOKS[table][state]
    conn.execute(text(f"UPDATE ledger.{table} SET state = '{state}', {look} WHERE id = {row}"))
