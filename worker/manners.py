"""How a guest behaves on somebody's computer: turns, hours, and the battery."""

from __future__ import annotations

import dataclasses
import datetime
import re
import sys
from typing import Final

import psutil

from contract.config import Config

_LAST_POLITE_STEP: Final = 19
_SPAN: Final = re.compile(r"(\d{1,2})(?::(\d{2}))?-(\d{1,2})(?::(\d{2}))?")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """A span of the local day; one that ends before it begins goes past midnight, one of no length is the whole day."""

    start: datetime.time
    end: datetime.time

    @classmethod
    def parse(cls, written: str) -> Hours:
        """As `contract.config` admits them: 22:00-06:00, or 22-6."""
        found = _SPAN.fullmatch(written)
        assert found is not None, written
        hour, minute, last_hour, last_minute = (int(part or 0) for part in found.groups())
        return cls(start=datetime.time(hour, minute), end=datetime.time(last_hour, last_minute))

    def hold(self, now: datetime.time) -> bool:
        if self.start < self.end:
            return self.start <= now < self.end
        return now >= self.start or now < self.end

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    hours: Hours | None = None
    pause_on_battery: bool = False

    @classmethod
    def of(cls, config: Config) -> Manners:
        hours = config.worker.hours
        return cls(hours=None if hours is None else Hours.parse(hours), pause_on_battery=config.worker.pause_on_battery)

    def why_rest(self, now: datetime.time, *, on_battery: bool) -> str | None:
        if self.hours is not None and not self.hours.hold(now):
            return f"outside its hours {self.hours}; goes on at {self.hours.start:%H:%M}"
        if self.pause_on_battery and on_battery:
            return "on its battery; goes on when it is plugged in"
        return None

    def why_rest_now(self) -> str | None:
        """The wall clock is asked each time: it may have jumped, with the lid shut or the summer time."""
        now = datetime.datetime.now().time()
        return self.why_rest(now, on_battery=self.pause_on_battery and on_battery())


def on_battery() -> bool:
    """False where nobody knows, as on most computers that stand on a desk."""
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    return battery is not None and battery.power_plugged is False


def take_turns(steps: int) -> None:
    """So many steps behind where we stand, as the Unix command `nice` counts. Before any thread is made: on Linux
    each has its own turn, and takes that of whoever made it."""
    process = psutil.Process()
    if sys.platform == "win32":
        if steps:
            process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if steps <= 10 else psutil.IDLE_PRIORITY_CLASS)
    elif steps:
        process.nice(min(_LAST_POLITE_STEP, process.nice() + steps))
