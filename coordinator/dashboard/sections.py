"""A look at a run, in sections: what the JSON of docs/reference/dashboard.md holds."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection

from contract.errors import NotFound
from contract.ids import Version
from coordinator.dashboard.channels import Json, encoded
from coordinator.ledger import showing, views
from coordinator.ledger.averages import Averages, averages
from coordinator.ledger.events import newest_told

# More than anybody reads on a page.
_MOST_WORKERS: Final = 100
_MOST_PLACES: Final = 50
_MOST_EVENTS: Final = 50
_MOST_IN_TROUBLE: Final = 20
# What sums up the whole run is read once a second, and less often the longer it takes.
_SO_FAR_EVERY_SECONDS: Final = 1.0
_LARGEST_SHARE: Final = 0.1
_MOST_STEPS: Final = 240
_MOST_POINTS: Final = 300
_HELD_OUT: Final = "held_out/"
_MINUTE: Final = datetime.timedelta(minutes=1)


class Looking:
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
            self._due_at[run] = max(began + _SO_FAR_EVERY_SECONDS, ended + (ended - began) * (1 / _LARGEST_SHARE - 1))
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
        "events": _dicts(newest_told(conn, run=run, limit=_MOST_EVENTS)),
        "stalled_units": _dicts(views.stalled_units(conn, run=run, most=_MOST_IN_TROUBLE)),
    }


def _so_far(conn: Connection, progress: views.Progress) -> dict[str, Json]:
    run, head = progress.run, progress.head_version or Version(0)
    return {
        "losses": _curves(averages(conn, run=run, head=head, points=_MOST_POINTS)),
        "samples": _dicts(views.seen_samples(conn, run=run)),
        "leaderboard": _dicts(views.leaderboard(conn, run=run, most=_MOST_PLACES)),
        "acceptance": dataclasses.asdict(showing.fate(conn, run=run)),
        "bytes": dataclasses.asdict(showing.traffic(conn, run=run)),
        "throughput": speed(showing.whole_minutes(conn, run=run)),
        "timings": _dicts(views.timings(conn, run=run)),
        "suspects": _dicts(views.suspects(conn, run=run, most=_MOST_IN_TROUBLE)),
    }


def _curves(curves: Averages) -> Json:
    return [
        {
            "name": name.removeprefix(_HELD_OUT),
            "held_out": name.startswith(_HELD_OUT),
            "versions": [version for version, _ in points],
            "values": [value for _, value in points],
        }
        # What was trained with before what was held out.
        for name, points in sorted(curves.items(), key=lambda curve: curve[0].startswith(_HELD_OUT))
    ]


def speed(minutes: Sequence[showing.WholeMinute]) -> Json:
    """In equal steps of some minutes from the first of them to the last, those without a merge included."""
    if not minutes:
        return {"seconds_each": 60, "steps": []}
    first = minutes[0].minute
    places = [round((one.minute - first) / _MINUTE) for one in minutes]
    width = 1 + places[-1] // _MOST_STEPS
    units, samples = ([0] * (places[-1] // width + 1) for _ in range(2))
    for place, one in zip(places, minutes, strict=True):
        units[place // width] += one.num_units
        samples[place // width] += one.num_samples
    # The last step may be shorter than the others.
    lengths = [60 * width] * (len(units) - 1) + [60 * (places[-1] % width + 1)]
    return {
        "seconds_each": 60 * width,
        "steps": [
            {
                "at": first + place * width * _MINUTE,
                "num_units": units[place],
                "samples_per_second": samples[place] / length,
            }
            for place, length in enumerate(lengths)
        ],
    }


def _dicts(records: Iterable[Any]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(record) for record in records]
