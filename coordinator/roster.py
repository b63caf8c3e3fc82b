"""The roster as a table in the terminal."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from coordinator.ledger.people import RosterLine


def show(lines: Sequence[RosterLine]) -> None:
    if not lines:
        Console().print("nobody is invited yet; `coordinator invite NAME` begins")
        return
    table = Table("name", "who", "status", "workers", "last seen", "invited", box=None, pad_edge=False)
    for line in lines:
        status = "revoked" if line.revoked_at else "here" if line.num_workers else "invited"
        table.add_row(
            line.name,
            line.display_name or "",
            status,
            str(line.num_workers),
            _moment(line.last_seen_at) or "never",
            _moment(line.invited_at),
        )
    Console().print(table)


def _moment(at: datetime.datetime | None) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M") if at else ""
