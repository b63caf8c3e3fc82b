from __future__ import annotations

import datetime
import io
import json

import pytest
from rich.console import Console

from contract.ids import WorkerId
from coordinator.event_lines import Printer, as_json, line, told
from coordinator.ledger.views import LoggedEvent

NOON = datetime.datetime(2026, 11, 28, 12, 0, 5, tzinfo=datetime.UTC)


def event(
    subject: str, old_state: str | None, new_state: str, *, reason: str | None = None, person: str | None = "Ada L."
) -> LoggedEvent:
    return LoggedEvent(
        event=17, at=NOON, run="class", subject=subject, subject_id=7, old_state=old_state, new_state=new_state,
        since=None, volunteer=person and "ada", display_name=person, worker=WorkerId(3), reason=reason,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("happened", "words"),
    [
        (event("worker", None, "joined"), "Ada L. joined"),
        (event("worker", "joined", "left", reason="asked to stop"), "Ada L. left: asked to stop"),
        (event("unit", "leased", "failed", reason="out of memory"), "unit 7 failed for good: out of memory"),
        (event("unit", "leased", "open", reason="its lease is over"), "unit 7 opens again: its lease is over"),
        (event("unit", "leased", "submitted"), "unit 7, Ada L.: leased -> submitted"),
        (event("gradient", "submitted", "merged"), "gradient 7, Ada L.: submitted -> merged"),
        (
            event("gradient", "submitted", "rejected", reason="not finite"),
            "a gradient of Ada L. was refused: not finite",
        ),
        (event("volunteer", None, "invited", reason="ada", person=None), "ada is invited"),
        (event("observer", None, "invited", reason="zoe", person=None), "observer zoe is invited"),
        (event("run", "running", "paused", reason="lunch"), "the run is paused: lunch"),
        (
            event("num_gradients_per_update", "2", "3", reason="3 workers are here"),
            "an update takes 3 gradients now, not 2: 3 workers are here",
        ),
        (
            event("num_gradients_per_update", "2", "1", reason="1 worker is here"),
            "an update takes 1 gradient now, not 2: 1 worker is here",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_event_is_told_in_words(happened: LoggedEvent, words: str) -> None:
    assert told(happened).plain == words


def test_of_today_the_time_is_told_and_of_other_days_the_day_too() -> None:
    assert line(event("worker", None, "joined"), NOON).plain == "12:00:05 Ada L. joined"
    tomorrow = NOON + datetime.timedelta(days=1)
    assert line(event("worker", None, "joined"), tomorrow).plain == "2026-11-28 12:00:05 Ada L. joined"


def test_json_holds_every_column_and_times_with_their_offset() -> None:
    found = json.loads(as_json(event("worker", None, "joined")))
    assert found["at"] == "2026-11-28T12:00:05+00:00"
    assert (found["event"], found["volunteer"], found["display_name"], found["worker"]) == (17, "ada", "Ada L.", 3)


@pytest.mark.parametrize("as_json", [True, False])
def test_an_event_is_a_line_however_narrow_the_terminal(as_json: bool) -> None:
    console = Console(file=io.StringIO(), width=20, soft_wrap=True)
    Printer(console=console, as_json=as_json).print([event("unit", "leased", "failed", reason="[bold]why " * 30)] * 2)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert said.count("\n") == 2
    assert "[bold]why" in said
