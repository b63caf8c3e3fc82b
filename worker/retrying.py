"""Waiting out a database that is away: sleep, a lost network, a restart."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import TypeVar

from contract.errors import DatabaseError

T = TypeVar("T")
_LONGEST_PAUSE_SECONDS = 30.0


class StoppedError(Exception):
    """Somebody wants this process to end; it travels up through whatever was under way."""


def until_it_works(action: Callable[[], T], *, stop: threading.Event, report: Callable[[str], None]) -> T:
    """For as long as it takes, with jittered pauses: a whole class must not come back at one moment."""
    failures = 0
    while True:
        if stop.is_set():
            raise StoppedError
        try:
            return action()
        except DatabaseError as error:
            failures += 1
            pause = min(_LONGEST_PAUSE_SECONDS, 0.25 * 2**failures) * random.uniform(0.5, 1)  # noqa: S311
            report(f"{str(error).splitlines()[0]} - trying again in {pause:.0f} s")
            stop.wait(pause)
