"""Our end of the peers' process."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

_ROOT: Final = Path(__file__).parents[2]
ENVIRONMENT: Final = _ROOT / ".venv-peers"
# Longer than any library takes to be imported and to read its inputs from a disk.
_PREPARATION_SECONDS: Final = 180.0


class TooSlow(Exception):
    """The peers' process was ended because a call took too long."""


class Peers:
    """Whatever was asked of it before that prepares it (`prepare`) is asked again after a call was cut off."""

    def __init__(self, *, threads: int) -> None:
        self._threads = threads
        self._preparations: dict[str, dict[str, Any]] = {}
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()

    def prepare(self, do: str, **values: Any) -> None:
        self._preparations[do] = values
        if self._process is not None:
            self._ask(_PREPARATION_SECONDS, do, values)

    def ask(self, do: str, *, seconds: float = _PREPARATION_SECONDS, **values: Any) -> Any:
        if self._process is None:
            self._start()
        return self._ask(seconds, do, values)

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> None:
        numbers = {name: str(self._threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        self._process = subprocess.Popen(
            [_python(), "-W", "ignore", "-m", "benchmarks.peers.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=_ROOT,
            env={**os.environ, **numbers},
        )
        self._answers = queue.SimpleQueue()
        threading.Thread(target=_pass_on, args=(self._process, self._answers), daemon=True).start()
        self._ask(_PREPARATION_SECONDS, "threads", {"number": self._threads})
        for do, values in self._preparations.items():
            self._ask(_PREPARATION_SECONDS, do, values)

    def _ask(self, seconds: float, do: str, values: dict[str, Any]) -> Any:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.write(json.dumps({"do": do, **values}) + "\n")
        process.stdin.flush()
        try:
            answer = self._answers.get(timeout=seconds)
        except queue.Empty:
            self.close()
            raise TooSlow(f"{do} took more than {seconds:.0f} s") from None
        if not answer:
            code = process.wait()
            self._process = None
            raise RuntimeError(f"the peers' process ended with {code} when asked to {do} {values}")
        return json.loads(answer)


def _pass_on(process: subprocess.Popen[str], answers: queue.SimpleQueue[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        answers.put(line)
    answers.put("")


def _python() -> str:
    return str(ENVIRONMENT / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python"))


@contextlib.contextmanager
def peers(*, threads: int) -> Iterator[Peers | None]:
    """None where `make bench` has not installed them."""
    if not ENVIRONMENT.is_dir():
        yield None
        return
    found = Peers(threads=threads)
    try:
        yield found
    finally:
        found.close()
