"""Single keys from a terminal, as they are pressed and without an echo. Ctrl-C stays what it is."""

from __future__ import annotations

import contextlib
import os
import re
import select
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

_KEY: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]|\x1bO[A-Z]|.", re.DOTALL)

ReadKey = Callable[[float], str | None]
"""The next key, or None when none is pressed within so many seconds."""

END: Final = "end"
"""The terminal is gone: no key will ever come."""

_NAMES: Final = {
    "\x1b[A": "up", "\x1b[B": "down", "\x1b[C": "right", "\x1b[D": "left", "\x1bOA": "up", "\x1bOB": "down",
    "\x1bOC": "right", "\x1bOD": "left", "\x1b[5~": "page up", "\x1b[6~": "page down", "\x1b": "escape", " ": "space",
}  # fmt: skip


@contextlib.contextmanager
def pressed() -> Iterator[ReadKey]:
    """Where nobody can press anything, no key ever comes."""
    if not sys.stdin.isatty():
        yield _nobody
    elif sys.platform == "win32":
        yield _from_console
    else:
        with _unbuffered(sys.stdin.fileno()) as read:
            yield read


def _nobody(seconds: float) -> str | None:
    time.sleep(seconds)
    return None


if sys.platform == "win32":
    import msvcrt

    _WINDOWS: Final = {"H": "up", "P": "down", "M": "right", "K": "left", "I": "page up", "Q": "page down"}

    def _from_console(seconds: float) -> str | None:
        deadline = time.monotonic() + seconds
        while not msvcrt.kbhit():
            if time.monotonic() > deadline:
                return None
            time.sleep(0.02)
        key = msvcrt.getwch()
        if key in ("\0", "\xe0"):
            return _WINDOWS.get(msvcrt.getwch())
        return _NAMES.get(key, key)

else:
    import termios
    import tty

    @contextlib.contextmanager
    def _unbuffered(terminal: int) -> Iterator[ReadKey]:
        before = termios.tcgetattr(terminal)
        try:
            # Not raw: what is drawn meanwhile still begins its lines at the left.
            tty.setcbreak(terminal)
            # Ctrl-Z would leave the shell with a screen and with modes that are not its own.
            modes = termios.tcgetattr(terminal)
            modes[6][termios.VSUSP] = b"\0"
            termios.tcsetattr(terminal, termios.TCSADRAIN, modes)
            yield _Keyboard(terminal)
        finally:
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)

    class _Keyboard:
        """Of several keys that came at once each is told by itself."""

        def __init__(self, terminal: int) -> None:
            self._terminal = terminal
            self._waiting: deque[str] = deque()

        def __call__(self, seconds: float) -> str | None:
            if not self._waiting:
                if not select.select([self._terminal], [], [], seconds)[0]:
                    return None
                try:
                    read = os.read(self._terminal, 1024).decode(errors="replace")
                except OSError:
                    return END
                self._waiting.extend(split(read) or [END])
            return self._waiting.popleft()


def split(read: str) -> list[str]:
    """A key that sends several letters sends them at once."""
    return [_NAMES.get(letters, letters) for letters in _KEY.findall(read)]
