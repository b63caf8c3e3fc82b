"""What is asked for now and then: which runs there are, and what a version made. Read once for all who ask."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import OrderedDict
from typing import Final

from sqlalchemy import Engine

from contract.errors import DatabaseError
from contract.ids import Version
from coordinator.ledger import showing

_RUNS_KEPT_SECONDS: Final = 2.0
_SAMPLES_KEPT_SECONDS: Final = 600.0
_MOST_BYTES: Final = 64_000_000
# The only two that the coordinator stores; whatever else stood there would be shown as text.
_MEDIA_TYPES: Final = {"image/png": "image/png", "text/plain": "text/plain; charset=utf-8"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    media_type: str
    content: bytes
    read_at: float


class Archive:
    """One question to the database at a time, whoever asks, from whatever thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asking = threading.Lock()
        self._runs: list[showing.ShownRun] = []
        self._runs_read_at = -_RUNS_KEPT_SECONDS
        self._problem: DatabaseError | None = None
        self._samples: OrderedDict[tuple[str, int], Sample] = OrderedDict()

    def runs(self) -> list[showing.ShownRun]:
        """While the database is away or slow, those that there were."""
        # A question on a line that has gone dead lasts for a minute, and whoever waits for it holds a thread.
        if not self._asking.acquire(blocking=not self._runs):
            return self._runs
        try:
            if time.monotonic() > self._runs_read_at + _RUNS_KEPT_SECONDS:
                self._read_runs()
            found, problem = self._runs, self._problem
        finally:
            self._asking.release()
        if problem is not None and not found:
            raise problem.with_traceback(None)
        return found

    def sample(self, run: str, version: int) -> Sample | None:
        with self._asking:
            kept = self._samples.get((run, version))
            if kept is None or time.monotonic() > kept.read_at + _SAMPLES_KEPT_SECONDS:
                kept = self._read(run, version)
                if kept is None:
                    return None
                self._samples[run, version] = kept
            self._samples.move_to_end((run, version))
            while sum(len(sample.content) for sample in self._samples.values()) > _MOST_BYTES:
                self._samples.popitem(last=False)
            return kept

    def _read_runs(self) -> None:
        """A failure is kept as long as an answer: whoever comes meanwhile need not find out again."""
        self._problem = None
        try:
            with self._engine.connect() as conn:
                self._runs = showing.shown_runs(conn)
        except DatabaseError as problem:
            self._problem = problem
        self._runs_read_at = time.monotonic()

    def _read(self, run: str, version: int) -> Sample | None:
        with self._engine.connect() as conn:
            found = showing.shown_sample(conn, run=run, version=Version(version))
        if found is None:
            return None
        media_type = _MEDIA_TYPES.get(found.media_type, _MEDIA_TYPES["text/plain"])
        return Sample(media_type=media_type, content=found.content, read_at=time.monotonic())
