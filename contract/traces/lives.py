"""What is said of a unit's life, and nothing of it where nobody listens."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Final

from contract.ids import RunId, UnitId

Attribute = str | int | float

# As OpenTelemetry names them.
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Life:
    """Of one attempt at a unit, as one process sees it. This one is told to nobody. Times are those of time.time_ns."""

    __slots__ = ()

    def took(self, step: str, began: int, ended: int | None = None, /, **attributes: Attribute) -> None:
        """A step, which ended now if nobody says when."""

    def ended(self, outcome: str, **attributes: Attribute) -> None:
        """For the process in which most of it was lived; the others tell their steps alone."""

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[dict[str, Attribute]]:
        """Takes attributes until it is over. What goes wrong in it is said, and goes on its way."""
        began = time.time_ns()
        attributes: dict[str, Attribute] = {}
        try:
            yield attributes
        except BaseException as error:
            attributes["error"] = type(error).__name__
            raise
        finally:
            self.took(name, began, **attributes)


class Traces:
    """Where lives are told. This is for whoever has no collector: nothing is kept."""

    def of(self, unit: UnitId, attempt: int) -> Life:
        return _UNTOLD

    def close(self) -> None:
        """Sends what is left, for a moment's time."""


_UNTOLD: Final = Life()


def open_traces(
    *, process: str, run: RunId, run_name: str, run_created_at: datetime.datetime, say: Callable[[str], None]
) -> Traces:
    """`say` hears why nothing is sent, if that is so against somebody's wish."""
    if (
        not any(os.environ.get(name) for name in _ENDPOINTS)
        or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    ):
        return Traces()
    try:
        from contract.traces.exporting import Exported
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "opentelemetry":
            raise
        say(f'{_ENDPOINTS[0]} is set, but traces need OpenTelemetry; run `pip install "barnraise[traces]"`')
        return Traces()
    return Exported(process=process, run_name=run_name, run_key=run_key(run, run_created_at), say=say)


def run_key(run: RunId, created_at: datetime.datetime) -> str:
    """The moment of its making tells a run from one of the same number in another ledger."""
    return f"{run} {created_at.astimezone(datetime.UTC).isoformat()}"


def trace_id(run_key: str, unit: UnitId, attempt: int) -> int:
    """Follows from what every side knows already, so that it need not travel."""
    return _number(f"{run_key} {unit} {attempt}", num_bytes=16)


def span_id(run_key: str, unit: UnitId, attempt: int) -> int:
    """Of the whole life, which is the parent of its steps."""
    return _number(f"life {run_key} {unit} {attempt}", num_bytes=8)


def _number(text: str, *, num_bytes: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:num_bytes], "big")
