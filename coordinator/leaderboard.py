"""Who did how much, as a table for people, and as JSON for programs."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from coordinator.durations import in_words
from coordinator.ledger.views import Place
from coordinator.run_list import moment_of


def show(places: Sequence[Place], console: Console) -> None:
    if not places:
        console.print("nobody has joined yet; volunteers run `worker join`")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("who", overflow="fold")
    for title in ("samples", "share", "units", "computing", "accepted"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("last", no_wrap=True)
    now = datetime.datetime.now().astimezone()
    for place in places:
        table.add_row(
            str(place.place),
            place.display_name,
            f"{place.num_samples_merged:,}",
            _percent(place.share_of_run),
            f"{place.num_units_merged:,}",
            in_words(place.seconds_computing),
            _percent(place.share_accepted),
            "here" if place.is_present else moment_of(place.last_at, now),
        )
    console.print(table)


def as_json(places: Sequence[Place]) -> str:
    """Times in ISO 8601, with their offset from UTC."""
    rows = [dataclasses.asdict(place) for place in places]
    return json.dumps(rows, indent=2, default=lambda moment: moment.isoformat())


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"
