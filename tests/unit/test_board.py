"""What the volunteer sees: happenings, what is made of them, and how it is shown."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from worker.board import Board
from worker.happenings import (
    Began,
    Computed,
    Delivered,
    Dropped,
    Ended,
    Fetched,
    Happening,
    Message,
    Prepared,
    Progressed,
    Resting,
    Standing,
    from_line,
    to_line,
)
from worker.live_view import LiveView, drawn
from worker.reporting import Lines, summary, view_for

PREPARED = Prepared(
    run="class", worker=7, name="ada", workload="mlp", data="10 glyphs, drawn by Pillow", device="cpu with 2 threads",
    version=3,
)  # fmt: skip
LATE = "late: the round of its version was closed"
STANDING = Standing(
    num_accepted=5, num_waiting=2, not_used={LATE: 1}, num_accepted_of_all=20, num_workers=4, version=12
)
DAY: list[Happening] = [
    PREPARED,
    Fetched(version=11, num_bytes=900_000),
    Began(unit=41, version=11, num_samples=64),
    Progressed(num_done=32, samples_per_second=1000.0),
    Computed(unit=41, version=11, num_samples=64, losses={"loss": 0.25}, seconds=0.064),
    Delivered(unit=41, num_bytes=2_500_000, codec="fp16"),
    STANDING,
]


def board_of(*happenings: Happening) -> Board:
    board = Board(1)
    for happening in happenings:
        board.heard(0, happening)
    return board


def shown(board: Board, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, height=24, force_terminal=True, color_system=None)
    console.print(drawn(board, width=width))
    return console.file.getvalue()  # type: ignore[attr-defined]


def said(*happenings: Happening, num_processes: int = 1) -> str:
    file = io.StringIO()
    with Lines(Console(file=file, width=80), num_processes) as lines:
        for happening in happenings:
            lines.heard(0, happening)
    return file.getvalue()


@pytest.mark.parametrize(
    "happening", [*DAY, Dropped(unit=4, reason="r"), Resting(reason="r"), Message(text="t\nu"), Ended(reason="r")]
)
def test_a_happening_survives_the_way_to_the_parent(happening: Happening) -> None:
    line = to_line(happening)
    assert "\n" not in line
    assert from_line(line + "\n") == happening


@pytest.mark.parametrize("line", ["a warning of some library", "{}", "[1]", '{"what": "Nothing"}', '{"what": "Ended"}'])
def test_what_a_library_prints_is_shown_as_it_is(line: str) -> None:
    assert from_line(line + "\n") == Message(text=line)


def test_the_account_is_made_of_what_happened() -> None:
    totals = board_of(*DAY).totals()
    assert (totals.num_computed, totals.num_accepted, totals.num_waiting, totals.num_bytes) == (1, 5, 2, 2_500_000)
    assert totals.not_used == {LATE: 1}
    assert totals.share == 0.25


def test_who_joins_again_keeps_what_they_had() -> None:
    totals = board_of(*DAY, Resting(reason="night"), PREPARED, Standing(num_accepted=1, num_accepted_of_all=4)).totals()
    assert (totals.num_accepted, totals.num_accepted_of_all, totals.num_waiting) == (6, 24, 0)
    assert totals.not_used == {LATE: 1}


def test_processes_are_counted_together_and_named_apart() -> None:
    board = Board(2)
    for place in range(2):
        for happening in DAY:
            board.heard(place, happening)
    board.heard(1, Message(text="hello"))
    assert board.totals().num_accepted == 10
    assert board.totals().num_accepted_of_all == 20
    assert board.messages[-1][1] == "ada: hello"


def test_a_message_repeated_at_once_is_one() -> None:
    assert len(board_of(Message(text="a"), Message(text="a"), Message(text="b")).messages) == 2


@pytest.mark.parametrize("width", [72, 80, 140])
@pytest.mark.parametrize("num_seats", [1, 3])
def test_the_view_fits_and_says_what_matters(width: int, num_seats: int) -> None:
    board = Board(num_seats)
    for place in range(num_seats):
        for happening in [
            *DAY,
            Began(unit=42, version=12, num_samples=64),
            Progressed(num_done=32, samples_per_second=1),
        ]:
            board.heard(place, happening)
    text = shown(board, width)
    lines = text.splitlines()
    assert all(len(line) <= width for line in lines)
    assert len(lines) <= 24
    for what in ("run class · version 12 · 4 workers here", "mlp on 10 glyphs", "cpu with 2 threads", "unit 42", "50%",
                 "1,000 samples/s", "accepted", "waiting", f"not used: {LATE}"):  # fmt: skip
        assert what in text
    assert ("loss 0.2500" in text) is (num_seats == 1 or width == 140)


@pytest.mark.parametrize(
    ("happenings", "what"),
    [
        ([PREPARED], "waiting: the next unit"),
        ([PREPARED, Standing(run_state="paused")], "waiting: the instructor paused the run"),
        ([PREPARED, Standing(is_led=False)], "waiting: no coordinator is at work"),
        ([PREPARED, Resting(reason="on its battery")], "resting: on its battery"),
        ([PREPARED, Ended(reason="over")], "has left"),
        ([], "starting"),
    ],
)
def test_who_does_not_compute_says_why(happenings: list[Happening], what: str) -> None:
    assert what in shown(board_of(*happenings), 80)


def test_lines_tell_the_same() -> None:
    text = said(*DAY, Standing(run_state="paused"), Standing())
    assert text.splitlines()[:3] == [
        "joined run class as worker 7: mlp on 10 glyphs, drawn by Pillow, computed on cpu with 2 threads",
        "unit     41  version    11    1000.0 samples/s  loss 0.2500",
        "unit     41  delivered, 2.5 MB in codec fp16 (0 accepted and 2.5 MB sent since you joined)",
    ]
    assert f"1 of your units not used: {LATE}" in text
    assert "the instructor paused the run; waiting\nthe run goes on\n" in text


def test_lines_tell_when_nobody_leads_and_when_somebody_does() -> None:
    text = said(PREPARED, Standing(is_led=False), Standing())
    assert text.splitlines()[1:3] == [
        "waiting: no coordinator is at work, until the instructor starts it again",
        "the run goes on",
    ]


def test_lines_of_several_processes_say_whose_they_are() -> None:
    assert said(PREPARED, num_processes=2).startswith("ada  joined run class")


def test_the_end_sums_up() -> None:
    lines = summary(board_of(*DAY))
    assert lines[0].endswith("5 accepted, 25% of what moved the model meanwhile; 2.5 MB sent, 0.9 MB received")
    assert lines[1:] == ["2 still wait to be merged", f"1 not used: {LATE}", "Thank you!"]
    assert summary(board_of(PREPARED)) == []


@pytest.mark.parametrize(
    ("console", "plain", "kind"),
    [
        (Console(file=io.StringIO()), False, Lines),
        (Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"}), False, Lines),
        (Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "xterm"}), True, Lines),
        (Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "xterm"}), False, LiveView),
    ],
)
def test_a_live_view_needs_a_terminal(console: Console, plain: bool, kind: type) -> None:
    assert type(view_for(console, num_processes=1, plain=plain)) is kind


def test_the_live_view_ends_with_the_sum() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80, color_system=None, _environ={"TERM": "xterm"})
    with LiveView(console) as view:
        view.note("before it begins")
        for happening in DAY:
            view.heard(0, happening)
    text = file.getvalue()
    assert text.startswith("before it begins")
    assert "Thank you!" in text
