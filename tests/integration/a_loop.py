"""The coordinator's loop in a thread, and what it reports: where the tests of its interruptions begin."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import pytest
from sqlalchemy import Engine

from contract.database import Notifications, engine_for
from coordinator.leadership import Leadership
from coordinator.loop import Loop, Turn
from coordinator.waits import limit_waits
from tests.integration.classroom import Classroom
from tests.waiting import wait_until

T = TypeVar("T")
OFTEN = 0.05


@dataclasses.dataclass(slots=True, kw_only=True)
class Coordinator:
    """Its statements wait for no lock for longer than 0.2 seconds."""

    room: Classroom
    engine: Engine
    leadership: Leadership
    pool: ThreadPoolExecutor
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)
    reports: list[object] = dataclasses.field(default_factory=list)
    ended: Future[None] | None = None

    def begin(self, turns: Sequence[Turn], beside: Sequence[Turn] = ()) -> None:
        loop = Loop(
            leadership=self.leadership, turns=turns, beside=beside, notifications=Notifications(self.engine),
            stop=self.stop, report=self.reports.append, is_over=lambda: False, on_new_term=lambda: None,
        )  # fmt: skip
        self.ended = self.pool.submit(loop.run)

    def of(self, kind: type[T]) -> list[T]:
        return [report for report in self.reports if isinstance(report, kind)]

    def next(self, kind: type[T]) -> T:
        """The next report of that kind, from now on."""
        before = len(self.of(kind))
        wait_until(lambda: len(self.of(kind)) > before, within_seconds=60, what=f"a {kind.__qualname__}")
        return self.of(kind)[before]

    def first(self, kind: type[T]) -> T:
        wait_until(lambda: self.of(kind), within_seconds=60, what=f"a {kind.__qualname__}")
        return self.of(kind)[0]

    def finish(self) -> None:
        self.stop.set()
        if self.ended is not None:
            self.ended.result(timeout=60)


@pytest.fixture
def coordinator(classroom: Classroom) -> Iterator[Coordinator]:
    engine = engine_for(classroom.database.url(), application="coordinator")
    limit_waits(engine, lock_seconds=0.2, statement_seconds=30)
    leadership = Leadership(engine=engine, run=classroom.run)
    with ThreadPoolExecutor(1) as pool:
        found = Coordinator(room=classroom, engine=engine, leadership=leadership, pool=pool)
        yield found
        found.finish()
    engine.dispose()
