"""Keeps the live view on a terminal: looks at the ledger now and then, and takes in what the duties report."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import io
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text
from sqlalchemy import Engine

from contract.errors import BarnraiseError
from contract.logs.console import LogConsole
from contract.states import RunState
from coordinator.duties import evaluate, merge, reap, roll_call
from coordinator.ledger import watching
from coordinator.ledger.watching import Snapshot
from coordinator.live_view import Countdown, Note, Scene, draw
from coordinator.log_view import LogView
from coordinator.reporting import Lines
from coordinator.sparklines import Pixels

_SHORTEST_PAUSE_SECONDS: Final = 0.5
# Looking at a run of millions of units takes longer, and then happens less often.
_LARGEST_SHARE: Final = 0.05
_NOTES_KEPT: Final = 50


class View(Protocol):
    """Where the duties' reports go. `finished` once the run is over."""

    @property
    def finished(self) -> bool: ...

    def report(self, report: object) -> None: ...

    def close(self) -> None:
        """Gives the terminal back. Safe to repeat."""


@contextlib.contextmanager
def shown(console: Console, engine: Engine, *, run: str, address: str, plain: bool = False) -> Iterator[View]:
    """The live view on a terminal that can show it; lines in a file, a pipe, or where they are asked for."""
    if isinstance(console, LogConsole):
        yield LogView(console)
        return
    can_draw = console.is_terminal and not console.is_dumb_terminal and console.encoding.startswith("utf")
    if plain or not can_draw:
        yield Lines(console=console)
        return
    screen = Screen(console, engine, run=run, address=address)
    try:
        yield screen
    finally:
        screen.close()


class Screen:
    """Takes the terminal with the first report: what is said before that stays above it.

    `images` and `countdown` are for whoever has some; both may be set at any time, from any thread.
    """

    def __init__(self, console: Console, engine: Engine, *, run: str, address: str) -> None:
        self._engine, self._run, self._address = engine, run, address
        self._notes: deque[Note] = deque(maxlen=_NOTES_KEPT)
        self._lines = Lines(console=Console(file=_Taking(self._note), width=1000, color_system=None))
        self._snapshot: Snapshot | None = None
        # Duties beside the loop report from threads of their own.
        self._opening = threading.Lock()
        self._is_open = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="screen", daemon=True)
        self._live = Live(console=console, screen=True, refresh_per_second=2, get_renderable=self._drawn)
        self.images: Pixels | None = None
        self.countdown: Callable[[], Countdown | None] = lambda: None

    def close(self) -> None:
        if self._is_open and not self._stop.is_set():
            self._stop.set()
            self._thread.join(timeout=10)
            self._live.stop()
            for note in self._notes:
                self._live.console.print(f"{note.at.astimezone():%H:%M:%S} {note.text}", markup=False)

    @property
    def finished(self) -> bool:
        return self._lines.finished

    def report(self, report: object) -> None:
        with self._opening:
            if not self._is_open:
                self._is_open = True
                self._live.start()
                self._thread.start()
        if isinstance(report, merge.Report):
            # Versions and refusals are drawn from the ledger; who was late is not.
            report = dataclasses.replace(report, version=None, refused=())
        if not _is_told_by_the_ledger(report):
            self._lines.report(report)

    def _note(self, line: str) -> None:
        self._notes.append(Note(at=datetime.datetime.now(datetime.UTC), text=line))

    def _look(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            began = time.monotonic()
            try:
                with self._engine.begin() as conn:
                    self._snapshot = watching.look_at(conn, run=self._run)
            except BarnraiseError:
                # The loop meets the same trouble, and says so.
                pass
            pause = max(_SHORTEST_PAUSE_SECONDS, (time.monotonic() - began) * (1 / _LARGEST_SHARE - 1))

    def _drawn(self) -> RenderableType:
        if self._snapshot is None:
            return Text("looking at the ledger ...", "dim")
        scene = Scene(
            snapshot=self._snapshot,
            address=self._address,
            notes=tuple(self._notes),
            countdown=self.countdown(),
            images=self.images,
        )
        return draw(scene, width=self._live.console.width, height=self._live.console.height)


def _is_told_by_the_ledger(report: object) -> bool:
    """What is drawn from the snapshot need not be said again."""
    if isinstance(report, evaluate.Report):
        return report.version is not None
    return isinstance(report, reap.Report | roll_call.Report | RunState)


class _Taking(io.StringIO):
    """A file whose every line goes to somebody."""

    def __init__(self, take: Callable[[str], None]) -> None:
        super().__init__()
        self._take = take

    def write(self, text: str) -> int:
        for line in text.splitlines():
            if line.strip():
                self._take(line.rstrip())
        return len(text)
