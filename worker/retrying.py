"""Waiting out a database that is away: sleep, a lost network, a restart."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from contract.errors import (
    DatabaseError,
    LoginRefused,
    MissingRight,
    SchemaIncomplete,
    SchemaMissing,
    SchemaTooNew,
    SchemaTooOld,
    ServerTooOld,
)

T = TypeVar("T")
_LONGEST_PAUSE_SECONDS: Final = 30.0
_SAID_AGAIN_AFTER_SECONDS: Final = 600.0
_TRYING: Final = "; trying again until it answers"
_DETAILS: Final = " (the database said"
_BACK: Final = "the database answers again"
# Patience mends none of these; somebody has to do what the message says.
_FINAL: Final = (LoginRefused, MissingRight, ServerTooOld, SchemaMissing, SchemaTooOld, SchemaTooNew, SchemaIncomplete)


class StoppedError(Exception):
    """Somebody wants this process to end; it travels up through whatever was under way."""


def until_it_works(action: Callable[[], T], *, stop: threading.Event, report: Callable[[str], None]) -> T:
    """For as long as it takes, with jittered pauses: a whole class must not come back at one moment.

    The first try is made even when somebody wants to stop: finished work is delivered before the goodbye.
    """
    failures = 0
    while True:
        try:
            answer = action()
        except _FINAL:
            raise
        except DatabaseError as error:
            failures += 1
            report(str(error).splitlines()[0].rstrip(".;") + _TRYING)
        else:
            if failures:
                report(_BACK)
            return answer
        pause = min(_LONGEST_PAUSE_SECONDS, 0.25 * 2**failures)
        if stop.wait(pause * random.uniform(0.5, 1)):  # noqa: S311
            raise StoppedError


class Calm:
    """Several threads meet the same trouble, again and again; a person hears of it once, and once when it is over."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._said: dict[str, float] = {}

    def __call__(self, text: str) -> None:
        if self._is_news(text):
            self._report(text)

    def _is_news(self, text: str) -> bool:
        now = time.monotonic()
        with self._lock:
            if text == _BACK:
                was_away = bool(self._said)
                self._said.clear()
                return was_away
            if not text.endswith(_TRYING):
                return True
            # A server that goes down refuses in one way after another.
            trouble = text.split(_DETAILS)[0]
            is_news = now - self._said.get(trouble, -math.inf) >= _SAID_AGAIN_AFTER_SECONDS
            if is_news:
                self._said[trouble] = now
            return is_news
