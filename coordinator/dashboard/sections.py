"""A look at a run, in sections: what the JSON of docs/reference/dashboard.md holds."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Connection

from contract.errors import NotFound
from contract.ids import Version
from coordinator.dashboard.channels import Json, encoded
from coordinator.ledger import showing, views

# More than anybody reads on a page.
_MOST_WORKERS: Final = 200
_MOST_PLACES: Final = 100
_MOST_EVENTS: Final = 50
_MOST_IN_TROUBLE: Final = 20
# What sums up the whole run is read less often, the longer it takes.
_LARGEST_SHARE: Final = 0.1
_HELD_OUT: Final = "held_out/"


class Look:
    """For one thread. What sums up a whole run may be left out of an answer: then it is as it was."""

    def __init__(self) -> None:
        self._due_at: dict[str, float] = {}

    def __call__(self, conn: Connection, run: str) -> Mapping[str, bytes]:
        found = views.progress(conn, run=run)
        if not found:
            raise NotFound(f"there is no run named {run!r}")
        sections = _now(conn, found[0])
        began = time.monotonic()
        if began >= self._due_at.get(run, 0.0):
            sections |= _so_far(conn, found[0])
            ended = time.monotonic()
            self._due_at[run] = ended + (ended - began) * (1 / _LARGEST_SHARE - 1)
        return {name: encoded(section) for name, section in sections.items()}


def _now(conn: Connection, progress: views.Progress) -> dict[str, Json]:
    run = progress.run
    leading = views.leading(conn, run=run)
    return {
        "run": {**dataclasses.asdict(progress), "leading": None if leading is None else dataclasses.asdict(leading)},
        "workers": {
            **dataclasses.asdict(showing.headcount(conn, run=run)),
            "shown": _dicts(showing.shown_workers(conn, run=run, most=_MOST_WORKERS)),
        },
        "events": _dicts(showing.notable_events(conn, run=run, most=_MOST_EVENTS)),
        "stalled_units": _dicts(views.stalled_units(conn, run=run)[:_MOST_IN_TROUBLE]),
    }


def _so_far(conn: Connection, progress: views.Progress) -> dict[str, Json]:
    run, head = progress.run, progress.head_version or Version(0)
    return {
        "losses": _curves(showing.curves(conn, run=run, head=head)),
        "samples": _dicts(views.seen_samples(conn, run=run)),
        "leaderboard": _dicts(views.leaderboard(conn, run=run, most=_MOST_PLACES)),
        "acceptance": dataclasses.asdict(showing.fate(conn, run=run)),
        "bytes": dataclasses.asdict(showing.traffic(conn, run=run)),
        "throughput": _dicts(views.throughput(conn, run=run)),
        "timings": _dicts(views.timings(conn, run=run)),
        "suspects": _dicts(views.suspects(conn, run=run)[:_MOST_IN_TROUBLE]),
    }


def _curves(curves: showing.Curves) -> Json:
    return [
        {
            "name": name.removeprefix(_HELD_OUT),
            "held_out": name.startswith(_HELD_OUT),
            "versions": [version for version, _ in points],
            "values": [value for _, value in points],
        }
        for name, points in curves.items()
    ]


def _dicts(records: Iterable[Any]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(record) for record in records]
