"""A console whose every line goes to the log: whoever prints there need not know."""

from __future__ import annotations

import contextlib
import contextvars
import io
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.style import Style
from rich.text import Text


class LogConsole(Console):
    """The colours in which people read that something is amiss are levels here."""

    def __init__(self, *, process: str, topic: str) -> None:
        super().__init__(file=io.StringIO(), color_system=None, width=1000)
        self._process = process
        self._topic: contextvars.ContextVar[str] = contextvars.ContextVar("topic", default=topic)
        self._data: contextvars.ContextVar[Mapping[str, Any] | None] = contextvars.ContextVar("data", default=None)

    @contextlib.contextmanager
    def about(self, topic: str, data: Mapping[str, Any] | None = None) -> Iterator[None]:
        """What this thread prints meanwhile is about that; `data` goes with the first line."""
        before, nothing = self._topic.set(topic), self._data.set(data)
        try:
            yield
        finally:
            self._topic.reset(before)
            self._data.reset(nothing)

    def print(self, *objects: Any, style: str | Style | None = None, markup: bool | None = None, **_how: Any) -> None:
        said = " ".join(map(str, objects))
        if markup is not False:
            said = Text.from_markup(said).plain
        data = self._data.get()
        self._data.set(None)
        logging.getLogger(f"barnraise.{self._process}.{self._topic.get()}").log(
            _level(str(style or "")), "%s", said, extra={"data": data}
        )


def _level(style: str) -> int:
    if "red" in style:
        return logging.ERROR
    return logging.WARNING if "yellow" in style else logging.INFO
