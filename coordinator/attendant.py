"""Beside a demo's run: looks at what the model draws, at the clock and at the workers, and ends the run in time."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Final

from contract.errors import DatabaseError
from coordinator.gallery import Gallery
from coordinator.live_view import Countdown
from coordinator.local_workers import LocalWorkers
from coordinator.screen import Screen, View

_STAGES: Final = 20
_LOOK_EVERY_SECONDS: Final = 0.2
# Three processes import torch on a slow laptop, and the first unit is computed; then something is wrong.
_PATIENCE_SECONDS: Final = 180.0


class Attendant:
    """`failure` says why the run was ended before its time."""

    def __init__(
        self, *, gallery: Gallery, workers: LocalWorkers, view: View, seconds: float, stop: threading.Event
    ) -> None:
        self._gallery, self._workers, self._view = gallery, workers, view
        self._seconds, self._stop = seconds, stop
        self._began: float | None = None
        self._thread = threading.Thread(target=self._attend, name="attendant", daemon=True)
        self.failure: str | None = None
        self.seconds_trained = 0.0

    def __enter__(self) -> Attendant:
        if isinstance(self._view, Screen):
            self._view.countdown = self._countdown
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=10)
        self.seconds_trained = time.monotonic() - self._began if self._began is not None else 0.0

    def _attend(self) -> None:
        opened = time.monotonic()
        look_at = 0.0
        while not self._stop.wait(_LOOK_EVERY_SECONDS):
            now = time.monotonic()
            self.failure = self._workers.failure()
            if self._began is None and self.failure is None and now > opened + _PATIENCE_SECONDS:
                self.failure = f"no gradient arrived within {_PATIENCE_SECONDS:.0f} s; {self._workers.last_words()}"
            if self.failure is not None or (self._began is not None and now >= self._began + self._seconds):
                self._stop.set()
            elif now >= look_at:
                is_new = self._look()
                # Until the first version comes, each look is for it.
                look_at = now + (self._seconds / _STAGES if is_new and self._began is not None else 0.0)

    def _look(self) -> bool:
        """Whether there was something new to see."""
        try:
            is_new = self._gallery.look()
        except DatabaseError:
            # The coordinator's loop meets the same trouble, and says so.
            return False
        if self._began is None and self._gallery.head:
            self._began = time.monotonic()
            self._gallery.begin()
        if is_new and isinstance(self._view, Screen) and self._gallery.stages:
            self._view.images = self._gallery.stages[-1].images
        return is_new

    def _countdown(self) -> Countdown:
        gone = time.monotonic() - self._began if self._began is not None else 0.0
        return Countdown(total_seconds=self._seconds, left_seconds=max(0.0, self._seconds - gone))
