"""What an action spends: memory beside what is there already, as the system counts it, and time."""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

_STATUS: Final = Path("/proc/self/status")
_CLEAR: Final = Path("/proc/self/clear_refs")


def clock_for(threads: int) -> Callable[[], float]:
    """The processor's time tells of one thread what it took, whoever else had the machine meanwhile."""
    return time.process_time if threads == 1 else time.perf_counter


def extra_bytes(action: Callable[[], object]) -> int | None:
    """The highest resident memory while it ran, above that before it; what it returns counts too. None where the
    system does not say (anywhere but on Linux)."""
    if not sys.platform.startswith("linux"):
        return None
    gc.collect()
    # What was freed but not given back would be used again unseen.
    ctypes.CDLL(None).malloc_trim(0)
    _CLEAR.write_text("5", encoding="ascii")
    before = _resident("VmRSS")
    result = action()
    highest = _resident("VmHWM")
    del result
    return highest - before


def _resident(what: str) -> int:
    line = next(line for line in _STATUS.read_text(encoding="ascii").splitlines() if line.startswith(what))
    return int(line.split()[1]) << 10
