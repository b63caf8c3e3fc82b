"""What happens in a worker's process, as values: a view shows them, and a child sends them to its parent as lines."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Final


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A place in a run, and all that will be computed there, and with what."""

    run: str
    worker: int
    name: str
    workload: str
    data: str
    device: str
    version: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A version of the model, or what leads to it from the one before."""

    version: int
    num_bytes: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    unit: int
    version: int
    num_samples: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    num_done: int
    samples_per_second: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    unit: int
    version: int
    num_samples: int
    losses: Mapping[str, float]
    seconds: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    unit: int
    num_bytes: int
    codec: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    unit: int
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What became of this worker's units since it joined, and how the run goes meanwhile."""

    num_accepted: int = 0
    num_waiting: int = 0
    not_used: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """How many, by reason."""
    num_accepted_of_all: int = 0
    num_workers: int | None = None
    run_state: str = "running"
    is_led: bool = True
    """Whether a coordinator is at work."""
    version: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Resting:
    """This computer's owner wants it for something else now."""

    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    text: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    reason: str


Happening = (
    Prepared | Fetched | Began | Progressed | Computed | Delivered | Dropped | Standing | Resting | Message | Ended
)
Report = Callable[[Happening], None]

_KINDS: Final = {kind.__name__: kind for kind in Happening.__args__}


def to_line(happening: Happening) -> str:
    return json.dumps({"what": type(happening).__name__, **dataclasses.asdict(happening)})


def from_line(line: str) -> Happening:
    """A line that is none of ours is something that a library printed, and may matter."""
    try:
        values = json.loads(line)
        happening: Happening = _KINDS[values.pop("what")](**values)
    except (ValueError, TypeError, KeyError, AttributeError):
        return Message(text=line.rstrip())
    return happening
