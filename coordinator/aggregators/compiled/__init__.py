"""The kernels in machine code, where numba is installed (extra `fast`): they read each value once, where it lies, and
keep what they do with it in the processor's registers. Without numba torch does the same, several times slower."""

from __future__ import annotations

import functools
import importlib.util
from typing import Final

__all__ = ["WORTH_VALUES", "is_available"]

# With fewer values of all vectors together torch takes milliseconds, and what loads machine code takes a second.
WORTH_VALUES: Final = 1 << 22


@functools.cache
def is_available() -> bool:
    return importlib.util.find_spec("numba") is not None
