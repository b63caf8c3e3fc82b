"""What the processes of one volunteer's computer have told so far, ready to be shown."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import Final

from worker.happenings import (
    Began,
    Computed,
    Delivered,
    Dropped,
    Ended,
    Fetched,
    Happening,
    Message,
    Prepared,
    Progressed,
    Resting,
    Standing,
)

_MESSAGES_KEPT: Final = 6
_SPEED_REMEMBERS: Final = 0.8
NOT_LED: Final = "no coordinator is at work, until the instructor starts it again"
_WORDS_OF_RUN_STATES: Final[Mapping[str, str]] = {
    "created": "the run has not begun yet",
    "paused": "the instructor paused the run",
    "finished": "the run is finished",
    "failed": "the run has failed",
}


@dataclasses.dataclass(slots=True, kw_only=True)
class Seat:
    """One process."""

    prepared: Prepared | None = None
    unit: Began | None = None
    num_done: int = 0
    resting: str | None = None
    has_ended: bool = False
    samples_per_second: float | None = None
    losses: Mapping[str, float] = dataclasses.field(default_factory=dict)
    num_computed: int = 0
    num_bytes: int = 0
    num_fetched_bytes: int = 0
    codec: str | None = None
    # A process that rests, or is started again, joins anew and counts from nothing.
    earlier: Standing = dataclasses.field(default_factory=Standing)
    latest: Standing = dataclasses.field(default_factory=Standing)

    @property
    def doing(self) -> str:
        if self.has_ended:
            return "has left"
        if self.resting is not None:
            return f"resting: {self.resting}"
        if self.unit is not None:
            return f"unit {self.unit.unit}"
        if self.prepared is None:
            return "starting"
        nothing = "the next unit" if self.latest.is_led else NOT_LED
        waits_for = _WORDS_OF_RUN_STATES.get(self.latest.run_state, nothing)
        return f"waiting: {waits_for}"

    @property
    def share_done(self) -> float:
        return 0.0 if self.unit is None else self.num_done / max(1, self.unit.num_samples)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    num_computed: int
    num_accepted: int
    num_waiting: int
    not_used: Mapping[str, int]
    num_accepted_of_all: int
    num_bytes: int
    num_fetched_bytes: int
    codecs: tuple[str, ...]
    """That the latest gradients of the processes were sent in."""
    samples_per_second: float

    @property
    def share(self) -> float | None:
        """Of what moved the model since this volunteer joined."""
        return self.num_accepted / self.num_accepted_of_all if self.num_accepted_of_all else None


class Board:
    def __init__(self, num_seats: int) -> None:
        self.seats = [Seat() for _ in range(num_seats)]
        self.messages: deque[tuple[datetime.datetime, str]] = deque(maxlen=_MESSAGES_KEPT)
        self._began = time.monotonic()

    def heard(self, place: int, happening: Happening) -> None:
        seat = self.seats[place]
        match happening:
            case Prepared():
                seat.earlier, seat.latest = added(seat.earlier, seat.latest), Standing(version=happening.version)
                seat.prepared, seat.resting, seat.has_ended = happening, None, False
            case Fetched():
                seat.num_fetched_bytes += happening.num_bytes
            case Began():
                seat.unit, seat.num_done = happening, 0
            case Progressed():
                seat.num_done = happening.num_done
            case Computed():
                seat.unit = None
                seat.num_computed += 1
                seat.losses = happening.losses
                seat.samples_per_second = _smoothed(seat.samples_per_second, happening)
            case Delivered():
                seat.num_bytes += happening.num_bytes
                seat.codec = happening.codec
            case Dropped():
                seat.unit = None
            case Standing():
                seat.latest = happening
            case Resting():
                seat.resting, seat.unit = happening.reason, None
            case Message():
                self.note(happening.text if self.is_single else f"{self.name(place)}: {happening.text}")
            case Ended():
                seat.has_ended, seat.unit = True, None

    @property
    def is_single(self) -> bool:
        return len(self.seats) == 1

    def name(self, place: int) -> str:
        prepared = self.seats[place].prepared
        return prepared.name if prepared is not None else f"process {place + 1}"

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def totals(self) -> Totals:
        standings = [added(seat.earlier, seat.latest) for seat in self.seats]
        not_used: Counter[str] = Counter()
        for standing in standings:
            not_used.update(standing.not_used)
        num_accepted = sum(standing.num_accepted for standing in standings)
        return Totals(
            num_computed=sum(seat.num_computed for seat in self.seats),
            num_accepted=num_accepted,
            num_waiting=sum(seat.latest.num_waiting for seat in self.seats),
            not_used=not_used,
            # Each process counts all merges since it joined, and they do not look at one moment.
            num_accepted_of_all=max(num_accepted, *(standing.num_accepted_of_all for standing in standings)),
            num_bytes=sum(seat.num_bytes for seat in self.seats),
            num_fetched_bytes=sum(seat.num_fetched_bytes for seat in self.seats),
            codecs=tuple(sorted({seat.codec for seat in self.seats if seat.codec is not None})),
            samples_per_second=sum(seat.samples_per_second or 0.0 for seat in self.seats if not seat.has_ended),
        )

    def note(self, text: str) -> None:
        if not self.messages or self.messages[-1][1] != text:
            self.messages.append((datetime.datetime.now(), text))


def added(earlier: Standing, latest: Standing) -> Standing:
    return dataclasses.replace(
        latest,
        num_accepted=earlier.num_accepted + latest.num_accepted,
        num_accepted_of_all=earlier.num_accepted_of_all + latest.num_accepted_of_all,
        not_used=Counter(earlier.not_used) + Counter(latest.not_used),
    )


def _smoothed(before: float | None, computed: Computed) -> float:
    now = computed.num_samples / max(1e-6, computed.seconds)
    return now if before is None else _SPEED_REMEMBERS * before + (1 - _SPEED_REMEMBERS) * now
