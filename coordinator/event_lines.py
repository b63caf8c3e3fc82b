"""The log in words, a line each; and as JSON, a line each."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from coordinator.ledger.views import LoggedEvent


def told(event: LoggedEvent) -> Text:
    """An event of the ledger in a line."""
    who, why = event.display_name or "somebody", f": {event.reason}" if event.reason else ""
    what = f"{event.subject} {event.subject_id}"
    match event.subject, event.old_state, event.new_state:
        case "worker", _, "joined":
            return Text(f"{who} joined", "green")
        case "worker", _, _:
            return Text(f"{who} left{why}")
        case "unit", _, "failed":
            return Text(f"{what} failed for good{why}", "red")
        case "unit", _, "open":
            return Text(f"{what} opens again{why}", "yellow")
        case "gradient", _, "rejected":
            return Text(f"a gradient of {who} was refused{why}", "yellow")
        case "unit" | "gradient", old, new:
            by = f", {event.display_name}" if event.display_name else ""
            before = f"{old} -> " if old else ""
            return Text(f"{what}{by}: {before}{new}{f' ({event.reason})' if event.reason else ''}", "dim")
        case "volunteer" | "observer", _, state:
            kind = "observer " if event.subject == "observer" else ""
            return Text(f"{kind}{event.reason or what} is {state}", "bold")
        case "num_gradients_per_update", old, new:
            gradients = "gradient" if new == "1" else "gradients"
            return Text(f"an update takes {new} {gradients} now, not {old}{why}")
        case _:
            return Text(f"the {event.subject} is {event.new_state}{why}", "bold")


def line(event: LoggedEvent, now: datetime.datetime) -> Text:
    """With the time of today, the day of what is longer ago: of this computer's clock."""
    at = event.at.astimezone(now.tzinfo)
    moment = f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M:%S}"
    return Text.assemble((f"{moment} ", "dim"), told(event))


def as_json(event: LoggedEvent) -> str:
    """Times in ISO 8601, with their offset from UTC."""
    return json.dumps(dataclasses.asdict(event), default=lambda moment: moment.isoformat())


class Paper(Console):
    """Long lines stay whole. When nobody reads any more, whoever writes is told, and decides how to end."""

    def __init__(self) -> None:
        super().__init__(soft_wrap=True)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Printer:
    console: Console
    as_json: bool = False

    def print(self, events: Iterable[LoggedEvent]) -> None:
        now = datetime.datetime.now().astimezone()
        for event in events:
            if self.as_json:
                self.console.file.write(f"{as_json(event)}\n")
            else:
                self.console.print(line(event, now))
        self.console.file.flush()
