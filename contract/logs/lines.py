"""A line for each thing that is said, and each line one JSON object, whatever somebody's strings contain."""

from __future__ import annotations

import atexit
import datetime
import io
import json
import logging
import math
import os
import re
import sys
import threading
import types
from collections.abc import Mapping
from typing import Any, Final

# Collectors cut lines, often after 16 kB; a traceback says most at its end.
_MESSAGE_CHARACTERS: Final = 2000
_EXCEPTION_CHARACTERS: Final = 4000
_TOKEN: Final = re.compile(r"([?&]token=)[^\s&]+")


class JsonLines(logging.Formatter):
    """ASCII throughout: no character of a message ends a line or reaches a terminal as a command."""

    def __init__(self, *, process: str, run: str) -> None:
        super().__init__()
        self._process, self._run = process, run

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _sound(record.getMessage()[:_MESSAGE_CHARACTERS]),
            "run": _sound(self._run),
            "process": self._process,
            "pid": record.process,
        }
        data = getattr(record, "data", None)
        if data:
            said["data"] = _plain(data)
        if record.exc_info and record.exc_info[0] is not None:
            said["exception"] = _sound(self.formatException(record.exc_info)[-_EXCEPTION_CHARACTERS:])
        return json.dumps(said, ensure_ascii=True, allow_nan=False)


def log_as_json(*, process: str, run: str, level: str = "info") -> None:
    """From here on all that this process says goes to standard error as JSON lines: its own words, warnings, what
    libraries log or print, and threads that fall."""
    root = logging.getLogger()
    root.handlers[:] = [_Handler(JsonLines(process=process, run=run))]
    root.setLevel(logging.WARNING)
    logging.getLogger("barnraise").setLevel(level.upper())
    logging.captureWarnings(True)
    # A bar that is redrawn ten times a second would be ten lines a second.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    threading.excepthook = _thread_fell
    sys.stdout = Printed(logging.getLogger("barnraise.stdout"), logging.INFO)
    sys.stderr = Printed(logging.getLogger("barnraise.stderr"), logging.WARNING)
    atexit.register(sys.stdout.close)
    atexit.register(sys.stderr.close)


def tell_the_end(error: BaseException, *, process: str) -> bool:
    """False where logs are not JSON."""
    if not any(isinstance(handler, _Handler) for handler in logging.getLogger().handlers):
        return False
    logging.getLogger(f"barnraise.{process}").critical(str(error), exc_info=error)
    return True


class Printed(io.TextIOBase):
    """In place of standard output or error: each line that is printed becomes a line of the log."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, logger: logging.Logger, level: int) -> None:
        self._logger, self._level = logger, level
        # The handler of Ctrl-C may print in the midst of another print.
        self._lock = threading.RLock()
        self._begun = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self._lock:
            # A bar that is redrawn in place begins each time with a return.
            *lines, self._begun = (self._begun + text).replace("\r", "\n").split("\n")
            if len(self._begun) > _MESSAGE_CHARACTERS:
                lines, self._begun = [*lines, self._begun], ""
        for line in lines:
            self._say(line)
        return len(text)

    def close(self) -> None:
        with self._lock:
            rest, self._begun = self._begun, ""
        self._say(rest)

    def _say(self, line: str) -> None:
        if line.strip():
            self._logger.log(self._level, "%s", line.rstrip())


class _Handler(logging.Handler):
    def __init__(self, formatter: JsonLines) -> None:
        super().__init__()
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except (TypeError, ValueError):
            # A library whose message does not fit its arguments.
            self.handleError(record)
            return
        _to_standard_error(f"{line}\n".encode())


def _to_standard_error(line: bytes) -> None:
    """Past Python's buffers, which the handler of Ctrl-C may not enter twice."""
    try:
        while line:
            line = line[os.write(2, line) :]
    except OSError:
        # Whoever read it is gone; the work goes on.
        return


def _thread_fell(fallen: threading.ExceptHookArgs) -> None:
    name = fallen.thread.name if fallen.thread is not None else "?"
    trace: types.TracebackType | None = fallen.exc_traceback
    story = (fallen.exc_type, fallen.exc_value or fallen.exc_type(), trace)
    logging.getLogger("barnraise.thread").error("thread %s fell", name, exc_info=story)


def _sound(text: str) -> str:
    """Half of a pair of surrogates is in Python's strings, and in no other language's JSON. Logs go further than a
    terminal: whoever reads them need not hold the dashboard's link."""
    return _TOKEN.sub(r"\1...", text.encode("utf-8", "replace").decode())


def _plain(value: object) -> object:
    """JSON has no number for what is not finite."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case bool() | int() | None:
            return value
        case Mapping():
            return {_sound(str(key)[:_MESSAGE_CHARACTERS]): _plain(one) for key, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case _:
            return _sound(str(value)[:_MESSAGE_CHARACTERS])
