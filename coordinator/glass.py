"""Keeps a picture of a ledger on a terminal: looks now and then, draws twice a second."""

from __future__ import annotations

import datetime
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from contract.errors import BarnraiseError, DatabaseError
from coordinator.ledger.watching import Snapshot
from coordinator.live_view import Note, Scene, draw
from coordinator.troubles import Troubles

_SHORTEST_PAUSE_SECONDS: Final = 0.5
# Between two attempts to reach a database that does not answer: somebody sits before the screen.
_LONGEST_PAUSE_SECONDS: Final = 5.0
# Looking at a run of millions of units takes longer, and then happens less often.
_LARGEST_SHARE: Final = 0.05
_NOTES_KEPT: Final = 50


def can_show(console: Console) -> bool:
    """Whether it is a terminal that can show it, with our letters."""
    return console.is_terminal and not console.is_dumb_terminal and console.encoding.startswith("utf")


class Glass:
    """`look` reads the ledger, in a thread of its own; `scene` makes a picture of what it saw last, and of the notes.

    Trouble with the database goes to `troubles`, for whoever has nobody else to tell of it.
    """

    def __init__(
        self,
        console: Console,
        *,
        look: Callable[[], Snapshot],
        scene: Callable[[Snapshot], Scene],
        troubles: Troubles | None = None,
    ) -> None:
        self._look_once, self._scene, self._troubles = look, scene, troubles
        self._notes: deque[Note] = deque(maxlen=_NOTES_KEPT)
        self._snapshot: Snapshot | None = None
        self._failing_since: float | None = None
        self._refusal = ""
        self._times_forgotten = 0
        self._stop, self._wake = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._look, name="screen", daemon=True)
        self._live = Live(console=console, screen=True, refresh_per_second=2, get_renderable=self._drawn)

    @property
    def notes(self) -> tuple[Note, ...]:
        return tuple(self._notes)

    @property
    def silent_seconds(self) -> float:
        """For how long looking has failed."""
        since = self._failing_since
        return 0.0 if since is None else time.monotonic() - since

    def open(self) -> None:
        self._live.start()
        self._thread.start()

    def close(self) -> None:
        """Gives the terminal back, with the notes. Safe to repeat."""
        if self._live.is_started and not self._stop.is_set():
            self._stop.set()
            self._wake.set()
            self._thread.join(timeout=10)
            self._live.stop()
            for note in self._notes:
                self._live.console.print(f"{note.at.astimezone():%H:%M:%S} {note.text}", markup=False)

    def note(self, text: str) -> None:
        self._notes.append(Note(at=datetime.datetime.now(datetime.UTC), text=text))

    def redraw(self) -> None:
        self._live.refresh()

    def look_now(self, *, forget: bool = False) -> None:
        """At once, and not when it is due; what was seen last is shown no more where it is to be forgotten."""
        if forget:
            self._times_forgotten += 1
            self._snapshot, self._refusal = None, ""
        self._wake.set()

    def _look(self) -> None:
        pause = 0.0
        while not self._stop.is_set():
            if self._wake.wait(pause):
                self._wake.clear()
                if self._stop.is_set():
                    return
            began, forgotten = time.monotonic(), self._times_forgotten
            pause = _SHORTEST_PAUSE_SECONDS
            try:
                found = self._look_once()
                # A look that began before something was to be forgotten saw just that.
                if forgotten == self._times_forgotten:
                    self._snapshot = found
            except BarnraiseError as error:
                self._failing_since = self._failing_since or began
                self._refusal = str(error).splitlines()[0]
                if self._troubles is not None and isinstance(error, DatabaseError):
                    pause = min(_LONGEST_PAUSE_SECONDS, self._troubles.met("screen", error))
                continue
            self._failing_since = None
            if self._troubles is not None:
                self._troubles.over("screen")
            pause = max(pause, (time.monotonic() - began) * (1 / _LARGEST_SHARE - 1))

    def _drawn(self) -> RenderableType:
        snapshot = self._snapshot
        if snapshot is None:
            return Text(self._refusal or "looking at the ledger ...", "dim")
        return draw(self._scene(snapshot), width=self._live.console.width, height=self._live.console.height)
