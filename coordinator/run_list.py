"""The runs of a ledger as a table for people, and as JSON for programs."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from contract.states import RunState
from coordinator.ledger.overview import RunLine

_MOVING = (RunState.RUNNING, RunState.PAUSED)


def show(lines: Sequence[RunLine], console: Console) -> None:
    if not lines:
        console.print("this ledger has no run yet; `coordinator start` makes the one of the configuration")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("run", overflow="fold")
    for title in ("state", "mode", "model", "version", "workers", "progress", "updated"):
        table.add_column(title, no_wrap=True)
    for line in lines:
        table.add_row(
            line.name,
            f"{line.state}*" if is_left_alone(line) else line.state,
            line.mode,
            line.workload,
            "" if line.version is None else str(line.version),
            str(line.num_workers),
            progress_of(line),
            moment_of(line.updated_at, datetime.datetime.now().astimezone()),
        )
    console.print(table)
    if any(is_left_alone(line) for line in lines):
        console.print("* no coordinator leads it at present; `coordinator start` does", markup=False)
    for line in lines:
        if line.parent is not None:
            console.print(f"{line.name} began with version {line.parent_version} of {line.parent}", markup=False)


def is_left_alone(line: RunLine) -> bool:
    return line.state in _MOVING and line.led_from is None


def progress_of(line: RunLine) -> str:
    return "" if line.epochs_done is None or not line.num_epochs else f"{line.epochs_done / line.num_epochs:.1%}"


def moment_of(at: datetime.datetime | None, now: datetime.datetime) -> str:
    """The hour of today, the date of what is longer ago: eighty columns are few."""
    if at is None:
        return ""
    here = at.astimezone(now.tzinfo)
    return here.strftime("%H:%M" if here.date() == now.date() else "%Y-%m-%d")


def as_json(lines: Sequence[RunLine]) -> str:
    """Times in ISO 8601, with their offset from UTC."""
    rows = [{**dataclasses.asdict(line), "epochs_done": line.epochs_done} for line in lines]
    return json.dumps(rows, indent=2, default=lambda moment: moment.isoformat())
