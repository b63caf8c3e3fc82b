"""The volunteer's terminal while their computer works."""

from __future__ import annotations

import threading
from collections import Counter
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from worker.board import Board, Seat, Totals
from worker.happenings import Ended, Happening, Message, Prepared, Resting
from worker.reporting import clock, losses_in_words, megabytes, summary

# Each drawing is a few milliseconds of the interpreter that the computing needs too.
_DRAWN_PER_SECOND: Final = 2
_WIDE: Final = 110
# A terminal echoes Ctrl-C as ^C behind the last line; a full line would break there, and be left standing.
_ROOM_FOR_AN_ECHO: Final = 3


class LiveView:
    """Begins with the first process that is ready: a download before that shows a progress bar of its own."""

    def __init__(self, console: Console, num_processes: int = 1) -> None:
        self._console = console
        self._board = Board(num_processes)
        self._lock = threading.RLock()
        self._live = Live(
            console=console, get_renderable=self._drawn, refresh_per_second=_DRAWN_PER_SECOND, transient=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        for at, text in self._board.messages:
            self._console.print(f"{at:%H:%M:%S}  {text}", style="yellow", markup=False)
        for line in summary(self._board):
            self._console.print(line, style="bold green", markup=False)

    def note(self, text: str) -> None:
        with self._lock:
            self._board.note(text)
        if not self._live.is_started:
            self._console.print(text, style="yellow", markup=False)

    def heard(self, place: int, happening: Happening) -> None:
        if isinstance(happening, Message):
            self.note(happening.text if self._board.is_single else f"{self._board.name(place)}: {happening.text}")
            return
        with self._lock:
            self._board.heard(place, happening)
        if isinstance(happening, Prepared):
            self._live.start()
        elif not self._live.is_started:
            if isinstance(happening, Resting):
                self.note(f"resting: {happening.reason}")
            elif isinstance(happening, Ended):
                self.note(happening.reason)

    def _drawn(self) -> RenderableType:
        with self._lock:
            return drawn(self._board, width=self._console.width - _ROOM_FOR_AN_ECHO)


def drawn(board: Board, *, width: int) -> RenderableType:
    prepared = next((seat.prepared for seat in board.seats if seat.prepared is not None), None)
    if prepared is None:
        return Text("starting")
    parts: list[RenderableType] = [
        Text(f"{prepared.workload} on {prepared.data}", style="bold"),
        Text(f"computed on {_devices(board)}", style="dim"),
        Text(),
        _seats(board, width=width),
        Text(),
        _account(board.totals()),
    ]
    if board.messages:
        parts += [Text(), _messages(board)]
    return Panel(
        Group(*parts),
        title=_title(board, prepared),
        title_align="left",
        subtitle=f"{clock(board.seconds)} · Ctrl-C leaves",
        subtitle_align="right",
        padding=(0, 1),
        width=width,
    )


def _title(board: Board, prepared: Prepared) -> Text:
    standing = max((seat.latest for seat in board.seats), key=lambda latest: latest.version)
    parts = [f"run {prepared.run}", f"version {standing.version}"]
    if standing.num_workers is not None:
        parts.append("you alone" if standing.num_workers == 1 else f"{standing.num_workers} workers here")
    return Text.assemble(("Barnraise", "bold"), "  ", " · ".join(parts))


def _devices(board: Board) -> str:
    used = Counter(seat.prepared.device for seat in board.seats if seat.prepared is not None)
    return ", ".join(device if number == 1 else f"{number} x {device}" for device, number in used.items())


def _seats(board: Board, *, width: int) -> Table:
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(no_wrap=True, style="cyan", max_width=24)
    table.add_column(no_wrap=True, ratio=1)
    table.add_column(no_wrap=True, justify="right")
    if width >= _WIDE:
        table.add_column(no_wrap=True)
    for place, seat in enumerate(board.seats):
        cells: list[RenderableType] = [board.name(place), _doing(seat), _speed(seat)]
        table.add_row(*cells, *([_losses(seat)] if width >= _WIDE else []))
        if width < _WIDE and seat.losses and len(board.seats) == 1:
            table.add_row("", _losses(seat), "")
    return table


def _doing(seat: Seat) -> RenderableType:
    if seat.unit is None:
        return Text(seat.doing, style="dim")
    bar = Table.grid(padding=(0, 1), expand=True)
    bar.add_column(no_wrap=True)
    bar.add_column(ratio=1)
    bar.add_column(no_wrap=True, justify="right", min_width=5)
    bar.add_row(seat.doing, ProgressBar(total=1.0, completed=seat.share_done), f"{seat.share_done:.0%}")
    return bar


def _speed(seat: Seat) -> Text:
    return Text("" if seat.samples_per_second is None else f"{seat.samples_per_second:,.0f} samples/s")


def _losses(seat: Seat) -> Text:
    return Text(losses_in_words(seat.losses))


def _account(totals: Totals) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="dim")
    table.add_column()
    num_not_used = sum(totals.not_used.values())
    units = Text.assemble(
        f"{totals.num_computed:,} computed   ",
        (f"{totals.num_accepted:,} accepted", "green"),
        f"   {totals.num_waiting:,} waiting   ",
        (f"{num_not_used:,} not used", "yellow" if num_not_used else ""),
    )
    table.add_row("your units", units)
    for reason, number in totals.not_used.items():
        table.add_row("", Text(f"{number:,} not used: {reason}", style="yellow"))
    if totals.share is not None:
        share = (
            f"{totals.share:.0%} of the {totals.num_accepted_of_all:,} gradients that moved the model since you joined"
        )
        table.add_row("your share", share)
    now_in = f", now in codec {' and '.join(totals.codecs)}" if totals.codecs else ""
    table.add_row("sent", f"{megabytes(totals.num_bytes)}{now_in}")
    table.add_row("received", f"{megabytes(totals.num_fetched_bytes)} of the model")
    return table


def _messages(board: Board) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(style="yellow", overflow="fold")
    for at, text in board.messages:
        table.add_row(f"{at:%H:%M:%S}", Text(text))
    return table
