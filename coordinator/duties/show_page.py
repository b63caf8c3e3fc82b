"""Keeps the dashboard going beside the run: a process of its own, so that no merge waits for a page, and no page's end
ends a run."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

_FIRST_PAUSE_SECONDS: Final = 2.0
_LONGEST_PAUSE_SECONDS: Final = 60.0
_GOODBYE_SECONDS: Final = 5.0
_MOST_WORDS: Final = 20_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`lines` say where the page is, once it is; `problem` why it is not, when that is news."""

    lines: tuple[str, ...] = ()
    problem: str | None = None


class _Page:
    """One process, and what it says: where it is, and what it complains of."""

    def __init__(self, options: Sequence[str], secrets: Mapping[str, str]) -> None:
        where_we_are = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [where_we_are, os.environ.get("PYTHONPATH")]))
        with contextlib.ExitStack() as undoing:
            self._said = undoing.enter_context(tempfile.TemporaryFile())
            self._complained = undoing.enter_context(tempfile.TemporaryFile())
            self.process = subprocess.Popen(
                [sys.executable, "-m", "coordinator", "dashboard", "--until-input-ends", *options],
                stdin=subprocess.PIPE, stdout=self._said, stderr=self._complained,
                env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **secrets},
                # Ctrl-C in the terminal is for the coordinator, which ends it in order.
                start_new_session=sys.platform != "win32",
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )  # fmt: skip
            self._closing = undoing.pop_all()

    def said(self) -> list[str]:
        return _lines(self._said)

    def complained(self) -> list[str]:
        return _lines(self._complained)

    def end(self) -> None:
        """It takes the end of its input for ours."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(_GOODBYE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._closing.close()


def _lines(file: IO[bytes]) -> list[str]:
    file.seek(0)
    return file.read(_MOST_WORDS).decode("utf-8", errors="replace").rstrip().splitlines()


@dataclasses.dataclass(slots=True, kw_only=True)
class ShowPage:
    """`options` are those of `coordinator dashboard`; `secrets` reach it by its environment, which nobody else sees."""

    options: Sequence[str]
    secrets: Mapping[str, str]
    first_pause_seconds: float = _FIRST_PAUSE_SECONDS
    _page: _Page | None = None
    _is_there: bool = False
    _told: str | None = None
    _pause_seconds: float = 0.0
    _not_before: float = 0.0

    @property
    def has_process(self) -> bool:
        return self._page is not None

    def run_once(self) -> Report:
        if self._page is None:
            return self._begin() if time.monotonic() >= self._not_before else Report()
        code = self._page.process.poll()
        if code is not None:
            complained = self._page.complained()
            self.end()
            last = complained[-1] if complained else f"it ended with code {code}"
            return self._postponed(f"the dashboard is not there ({last}); the run goes on, and it is tried again")
        lines = [] if self._is_there else self._page.said()
        if lines:
            self._is_there, self._told, self._pause_seconds = True, None, 0.0
        return Report(lines=tuple(lines))

    def end(self) -> None:
        if self._page is not None:
            self._page.end()
            self._page, self._is_there = None, False

    def _begin(self) -> Report:
        try:
            self._page = _Page(self.options, self.secrets)
        except OSError as error:
            return self._postponed(f"the dashboard cannot be started: {error.strerror or error}")
        return Report()

    def _postponed(self, problem: str) -> Report:
        self._pause_seconds = min(max(self.first_pause_seconds, 2 * self._pause_seconds), _LONGEST_PAUSE_SECONDS)
        self._not_before = time.monotonic() + self._pause_seconds
        is_news, self._told = problem != self._told, problem
        return Report(problem=problem if is_news else None)
