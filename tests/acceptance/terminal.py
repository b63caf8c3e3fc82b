"""A command in a terminal of its own, as somebody sits before it: its screen, its keys, its Ctrl-C."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


class Terminal:
    def __init__(self, folder: Path, *arguments: str, columns: int = 80, lines: int = 24) -> None:
        self._master, self._slave = pty.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.modes_before = termios.tcgetattr(self._slave)
        inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "coordinator", *arguments],
            cwd=folder,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={**inherited, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"},
            # The terminal is its own: Ctrl-C reaches it, and nobody else.
            preexec_fn=self._take_over,
        )
        self._written = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def said(self) -> str:
        """All that was ever written to it."""
        return bytes(self._written).decode(errors="replace")

    @property
    def modes(self) -> list[object]:
        return termios.tcgetattr(self._slave)

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait_for(self, words: str, *, times: int = 1, within_seconds: float = 90) -> None:
        try:
            wait_until(lambda: self.said.count(words) >= times, within_seconds=within_seconds, what=repr(words))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.said[-4000:]}") from None

    def wait_for_new(self, words: str) -> None:
        """Once more than until now."""
        self.wait_for(words, times=self.said.count(words) + 1)

    def end(self) -> int:
        return self.process.wait(timeout=60)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._slave)
        self._reader.join(timeout=10)
        os.close(self._master)

    def _take_over(self) -> None:
        os.setsid()
        fcntl.ioctl(self._slave, termios.TIOCSCTTY, 0)

    def _read(self) -> None:
        # Linux says that nobody holds the other end any more with an error.
        with contextlib.suppress(OSError):
            while read := os.read(self._master, 65536):
                self._written += read


@contextlib.contextmanager
def terminal(folder: Path, *arguments: str, columns: int = 80, lines: int = 24) -> Iterator[Terminal]:
    opened = Terminal(folder, *arguments, columns=columns, lines=lines)
    try:
        yield opened
    finally:
        opened.close()
