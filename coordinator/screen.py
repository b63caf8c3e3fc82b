"""The live view of the process that leads: what the ledger knows, and what the duties report besides."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from rich.console import Console
from sqlalchemy import Engine

from contract.logs.console import LogConsole
from contract.states import RunState
from coordinator.duties import evaluate, merge, reap, roll_call
from coordinator.glass import Glass, can_show
from coordinator.ledger import watching
from coordinator.ledger.watching import Snapshot
from coordinator.live_view import Countdown, Scene
from coordinator.log_view import LogView
from coordinator.reporting import Lines
from coordinator.sparklines import Pixels


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
    if plain or not can_show(console):
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
        # The loop meets the same trouble with the database as the glass does, and reports it.
        self._glass = Glass(console, look=self._look, scene=self._scene)
        self._lines = Lines(console=Console(file=_Taking(self._glass.note), width=1000, color_system=None))
        # Duties beside the loop report from threads of their own.
        self._opening = threading.Lock()
        self._is_open = False
        self.images: Pixels | None = None
        self.countdown: Callable[[], Countdown | None] = lambda: None

    def close(self) -> None:
        if self._is_open:
            self._glass.close()

    @property
    def finished(self) -> bool:
        return self._lines.finished

    def report(self, report: object) -> None:
        with self._opening:
            if not self._is_open:
                self._is_open = True
                self._glass.open()
        if isinstance(report, merge.Report):
            # Versions and refusals are drawn from the ledger; who was late is not.
            report = dataclasses.replace(report, version=None, refused=())
        if not _is_told_by_the_ledger(report):
            self._lines.report(report)

    def _look(self) -> Snapshot:
        with self._engine.begin() as conn:
            return watching.look_at(conn, run=self._run)

    def _scene(self, snapshot: Snapshot) -> Scene:
        return Scene(
            snapshot=snapshot,
            address=self._address,
            notes=self._glass.notes,
            silent_seconds=self._glass.silent_seconds,
            countdown=self.countdown(),
            images=self.images,
        )


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
