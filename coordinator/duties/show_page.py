"""Keeps the dashboard going beside the run: a process of its own, so that no merge waits for a page, and no page's end
ends a run."""

from __future__ import annotations

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


@dataclasses.dataclass(slots=True, kw_only=True)
class ShowPage:
    """`options` are those of `coordinator dashboard`; `secrets` reach it by its environment, which nobody else sees."""

    options: Sequence[str]
    secrets: Mapping[str, str]
    first_pause_seconds: float = _FIRST_PAUSE_SECONDS
    _process: subprocess.Popen[bytes] | None = None
    _words: IO[bytes] | None = None
    _num_told: int = 0
    _told_problem: str | None = None
    _pause_seconds: float = 0.0
    _not_before: float = 0.0

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def run_once(self) -> Report:
        if self._process is None:
            return self._begin() if time.monotonic() >= self._not_before else Report()
        if self._process.poll() is not None:
            return self._fallen(self._process.returncode)
        said = self._said() if self._num_told == 0 else []
        if said:
            self._num_told, self._told_problem, self._pause_seconds = len(said), None, 0.0
        return Report(lines=tuple(said))

    def end(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            # It takes that for our end.
            self._process.stdin.close()
            try:
                self._process.wait(_GOODBYE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._forget()

    def _begin(self) -> Report:
        where_we_are = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [where_we_are, os.environ.get("PYTHONPATH")]))
        try:
            self._words = tempfile.TemporaryFile()  # noqa: SIM115  closed when the process is forgotten
            self._process = subprocess.Popen(
                [sys.executable, "-m", "coordinator", "dashboard", "--until-input-ends", *self.options],
                stdin=subprocess.PIPE, stdout=self._words, stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **self.secrets},
                # Ctrl-C in the terminal is for the coordinator, which ends it in order.
                start_new_session=sys.platform != "win32",
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )  # fmt: skip
        except OSError as error:
            return self._postponed(f"the dashboard cannot be started: {error.strerror or error}")
        return Report()

    def _fallen(self, code: int) -> Report:
        said = self._said()[self._num_told :]
        self._forget()
        last = said[-1] if said else f"it ended with code {code}"
        return self._postponed(f"the dashboard is not there ({last}); the run goes on, and it is tried again")

    def _postponed(self, problem: str) -> Report:
        self._pause_seconds = min(max(self.first_pause_seconds, 2 * self._pause_seconds), _LONGEST_PAUSE_SECONDS)
        self._not_before = time.monotonic() + self._pause_seconds
        is_news, self._told_problem = problem != self._told_problem, problem
        return Report(problem=problem if is_news else None)

    def _said(self) -> list[str]:
        assert self._words is not None
        self._words.seek(0)
        return self._words.read(_MOST_WORDS).decode("utf-8", errors="replace").rstrip().splitlines()

    def _forget(self) -> None:
        assert self._words is not None
        self._words.close()
        self._process, self._words, self._num_told = None, None, 0
