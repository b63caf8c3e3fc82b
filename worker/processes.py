"""Several workers on one computer, each a process of its own, started afresh: nothing is forked, so it works anywhere.

A child hears on its standard input how it is to work, and leaves when that closes: because the parent wants it to, or
because the parent is gone. What happens in it comes back on its standard output, a line for each thing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import IO, Any, Final

from contract.errors import all_errors
from worker.happenings import Delivered, Ended, Happening, Message, from_line

_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 60.0
_DEATHS_IN_VAIN: Final = 5
_LEAVES_WITHIN_SECONDS: Final = 90.0
# What a child says it died of in these words is not mended by starting it again.
_SAID_ENDS: Final = {0, *(error.exit_code for error in all_errors())} - {1}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """All that a child must know; a password or a token among it, which is why it does not go on a command line."""

    place: int
    num_processes: int
    config_file: str | None
    token: str | None
    overrides: tuple[str, ...]

    def to_line(self) -> str:
        return json.dumps(dataclasses.asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Orders:
        values: dict[str, Any] = json.loads(line)
        return cls(**{**values, "overrides": tuple(values["overrides"])})


class Crew:
    def __init__(self, orders: list[Orders], heard: Callable[[int, Happening], None], stop: threading.Event) -> None:
        self._children = [_Child(one, heard, stop) for one in orders]
        self._stop = stop

    def run(self) -> int:
        """Until the last child has ended; answers with the exit code of the first that failed, else 0."""
        try:
            for child in self._children:
                child.start()
            # In short waits: on Windows a longer one would not hear Ctrl-C.
            while any(child.is_minded for child in self._children):
                if self._stop.wait(0.2):
                    break
            self._leave()
        finally:
            for child in self._children:
                child.kill()
        return next((child.code for child in self._children if child.code), 0)

    def _leave(self) -> None:
        for child in self._children:
            child.ask_to_leave()
        deadline = time.monotonic() + _LEAVES_WITHIN_SECONDS
        while any(child.is_minded for child in self._children) and time.monotonic() < deadline:
            threading.Event().wait(0.1)


class _Child:
    """A process, and the thread that listens to it and starts another one in its place."""

    def __init__(self, orders: Orders, heard: Callable[[int, Happening], None], stop: threading.Event) -> None:
        self._orders = orders
        self._heard = heard
        self._stop = stop
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._has_delivered = False
        self._has_ended = False
        self.code = 0
        self._thread = threading.Thread(target=self._mind, name=f"child {orders.place}", daemon=True)

    @property
    def is_minded(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def ask_to_leave(self) -> None:
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                with contextlib.suppress(OSError):
                    self._process.stdin.close()

    def kill(self) -> None:
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._process.kill()

    def _mind(self) -> None:
        deaths = 0
        while not self._stop.is_set():
            self._has_delivered = False
            self.code = self._live()
            if self._stop.is_set() or self.code in _SAID_ENDS:
                break
            deaths = 1 if self._has_delivered else deaths + 1
            if deaths >= _DEATHS_IN_VAIN:
                self._say(f"died {deaths} times ({_in_words(self.code)}) and delivered nothing; it is given up")
                break
            pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** (deaths - 1))
            self._say(f"died ({_in_words(self.code)}); it is started again in {pause:.0f} s")
            self._stop.wait(pause)
        if not self._has_ended:
            self._heard(self._orders.place, Ended(reason="this process has left"))

    def _live(self) -> int:
        with self._lock:
            if self._stop.is_set():
                return 0
            process = self._process = subprocess.Popen(
                [sys.executable, "-m", "worker", "member"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
                errors="replace",
                # A bar that is redrawn in place would arrive as hundreds of lines.
                env={**os.environ, "PYTHONIOENCODING": "utf-8", "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
            )  # fmt: skip
            assert process.stdin is not None and process.stdout is not None
            with contextlib.suppress(OSError):
                process.stdin.write(self._orders.to_line())
                process.stdin.flush()
        with process.stdout as lines:
            self._listen(lines)
        code = process.wait()
        self.ask_to_leave()
        return code

    def _listen(self, lines: IO[str]) -> None:
        for line in lines:
            if not line.strip():
                continue
            happening = from_line(line)
            self._has_delivered |= isinstance(happening, Delivered)
            self._has_ended = isinstance(happening, Ended)
            self._heard(self._orders.place, happening)

    def _say(self, text: str) -> None:
        self._heard(self._orders.place, Message(text=f"this process {text}"))


def _in_words(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
