"""Lines of which there may be thousands: a few a minute are printed, the others counted.

A volunteer can have a gradient refused as fast as they can send one; a log must not grow with their zeal.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from rich.console import Console

_MINUTE_SECONDS = 60.0


@dataclasses.dataclass(slots=True)
class _Minute:
    began: float
    num_lines: int = 0
    num_kept_back: int = 0


@dataclasses.dataclass(slots=True, kw_only=True)
class Sparing:
    console: Console
    clock: Callable[[], float] = time.monotonic
    _minutes: dict[str, _Minute] = dataclasses.field(default_factory=dict)

    def print(self, kind: str, line: str, *, style: str | None = None, at_most: int = 20) -> None:
        """`kind` is what such lines are about, in the plural."""
        now = self.clock()
        minute = self._minutes.get(kind)
        if minute is None or now - minute.began >= _MINUTE_SECONDS:
            if minute is not None and minute.num_kept_back:
                self.console.print(f"({minute.num_kept_back} more {kind}, not shown one by one)", style="dim")
            minute = self._minutes[kind] = _Minute(now)
        if minute.num_lines >= at_most:
            minute.num_kept_back += 1
            return
        minute.num_lines += 1
        self.console.print(line, style=style, markup=False)
