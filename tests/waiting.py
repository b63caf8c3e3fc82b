from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
LOOK_EVERY_SECONDS = 0.01


def wait_until(condition: Callable[[], T], *, within_seconds: float = 10.0, what: str = "the condition") -> T:
    """The first true answer of `condition`, for what another process does; two connections need an order instead."""
    deadline = time.monotonic() + within_seconds
    pause = threading.Event()
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {within_seconds} s")
        pause.wait(LOOK_EVERY_SECONDS)
    return answer
