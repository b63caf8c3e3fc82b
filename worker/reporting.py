"""What a volunteer sees of their own computer's work: lines for logs and notebooks, a live view in a terminal."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console

from contract.logs.console import LogConsole
from worker.board import NOT_LED, Board
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
)


class View(Protocol):
    def heard(self, place: int, happening: Happening) -> None:
        """From the process at this place; called by any thread, and by the handler of Ctrl-C in the midst of another
        call."""

    def note(self, text: str) -> None:
        """From nobody in particular."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def view_for(console: Console, *, num_processes: int, plain: bool) -> View:
    from worker.live_view import LiveView

    if isinstance(console, LogConsole):
        return LogLines(console, num_processes)
    if plain or not console.is_terminal or console.is_dumb_terminal or console.is_jupyter:
        return Lines(console, num_processes)
    return LiveView(console, num_processes)


class Lines:
    """A line for each thing that happens: reads well in a log, in a notebook, and on a screen reader."""

    def __init__(self, console: Console, num_processes: int = 1) -> None:
        self._console = console
        self._board = Board(num_processes)
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for line in summary(self._board):
            self._console.print(line, style="bold green", markup=False, soft_wrap=True)

    def note(self, text: str) -> None:
        with self._lock:
            self._console.print(text, markup=False, soft_wrap=True)

    def heard(self, place: int, happening: Happening) -> None:
        with self._lock:
            before = self._board.seats[place].latest
            self._board.heard(place, happening)
            who = "" if len(self._board.seats) == 1 else f"{self._board.name(place)}  "
            for line, style in self._lines(happening, before):
                self._console.print(who + line, style=style, markup=False, soft_wrap=True)

    def _lines(self, happening: Happening, before: Standing) -> list[tuple[str, str]]:
        match happening:
            case Prepared() as it:
                said = f"joined run {it.run} as worker {it.worker}: {it.workload} on {it.data}, computed on {it.device}"
                return [(said, "bold")]
            case Computed() as it:
                speed = it.num_samples / max(1e-6, it.seconds)
                losses = losses_in_words(it.losses)
                return [(f"unit {it.unit:>6}  version {it.version:>5}  {speed:8.1f} samples/s  {losses}", "")]
            case Delivered() as it:
                totals = self._board.totals()
                so_far = f"{totals.num_accepted} accepted and {megabytes(totals.num_bytes)} sent since you joined"
                return [
                    (f"unit {it.unit:>6}  delivered, {megabytes(it.num_bytes)} in codec {it.codec} ({so_far})", "green")
                ]
            case Dropped() as it:
                return [(f"unit {it.unit:>6}  dropped: {it.reason}", "yellow")]
            case Standing() as it:
                return [(line, "yellow") for line in news(before, it)]
            case Resting() as it:
                return [(f"resting: {it.reason}", "yellow")]
            case Message() as it:
                return [(it.text, "yellow")]
            case Ended() as it:
                return [(it.reason, "bold green")]
            case Fetched() | Began() | Progressed():
                # A unit is seconds: it is told when it is done.
                return []


class LogLines(Lines):
    """The same lines for machines, with what happened beside the words."""

    def __init__(self, console: LogConsole, num_processes: int = 1) -> None:
        super().__init__(console, num_processes)
        self._log = console

    def heard(self, place: int, happening: Happening) -> None:
        with self._log.about(type(happening).__name__.lower(), {"place": place, **dataclasses.asdict(happening)}):
            super().heard(place, happening)


def news(before: Standing, now: Standing) -> list[str]:
    lines = [
        f"{number - before.not_used.get(reason, 0)} of your units not used: {reason}"
        for reason, number in now.not_used.items()
        if number > before.not_used.get(reason, 0)
    ]
    if now.run_state == "paused" != before.run_state:
        lines.append("the instructor paused the run; waiting")
    if not now.is_led and before.is_led and now.run_state == "running":
        lines.append(f"waiting: {NOT_LED}")
    if now.run_state == "running" and now.is_led and (before.run_state == "paused" or not before.is_led):
        lines.append("the run goes on")
    return lines


def summary(board: Board) -> list[str]:
    """What is said at the end."""
    totals = board.totals()
    if totals.num_computed == 0:
        return []
    share = "" if totals.share is None else f", {totals.share:.0%} of what moved the model meanwhile"
    lines = [
        f"{totals.num_computed} units computed in {clock(board.seconds)}, {totals.num_accepted} accepted{share}; "
        f"{megabytes(totals.num_bytes)} sent, {megabytes(totals.num_fetched_bytes)} received"
    ]
    if totals.num_waiting:
        lines.append(f"{totals.num_waiting} still wait to be merged")
    lines += [f"{number} not used: {reason}" for reason, number in totals.not_used.items()]
    return [*lines, "Thank you!"]


def losses_in_words(losses: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in losses.items())


def megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes < 1e9 else f"{num_bytes / 1e9:.2f} GB"


def clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
