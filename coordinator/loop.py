"""The coordinator's life on one screen: lead, run the duties that are due, wait for a hint or the next one."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from contract.database import Notifications
from contract.errors import DatabaseError, LeadershipLost, StatementEnded
from contract.states import RunState
from coordinator.leadership import Leadership
from coordinator.troubles import Troubles

_LONGEST_WAIT_SECONDS = 1.0


class Duty(Protocol):
    """One chore, safe to repeat; whatever interrupts it, the next turn takes it up again."""

    def run_once(self) -> object: ...


@dataclasses.dataclass(slots=True, kw_only=True)
class Turn:
    """`on_hint` duties also run when the ledger hints that something happened, `rests` ones not while it is paused."""

    duty: Duty
    every_seconds: float
    on_hint: bool = False
    rests: bool = False
    due_at: float = 0.0


@dataclasses.dataclass(slots=True, kw_only=True)
class Loop:
    """`beside` are duties that neither wait for the others nor keep them waiting: each has a thread of its own.

    `resting` is set while no turn is under way.
    """

    leadership: Leadership
    turns: Sequence[Turn]
    beside: Sequence[Turn] = ()
    notifications: Notifications
    stop: threading.Event
    report: Callable[[object], None]
    is_over: Callable[[], bool]
    on_new_term: Callable[[], None]
    resting: threading.Event = dataclasses.field(default_factory=threading.Event)

    def run(self) -> None:
        """Until the run is over or somebody stops us. The database may go and come back as it likes."""
        troubles = Troubles(self.report)
        ending = threading.Event()
        pool = ThreadPoolExecutor(max(1, len(self.beside)))
        beside = [pool.submit(self._stay, turn, troubles, ending) for turn in self.beside]
        try:
            while not self.stop.is_set() and not self.is_over():
                for fallen in beside:
                    if fallen.done():
                        fallen.result()
                try:
                    self._one_turn(troubles)
                    troubles.over("loop")
                except LeadershipLost as error:
                    self.report(error)
                    self.stop.wait(_LONGEST_WAIT_SECONDS)
                except DatabaseError as error:
                    self.resting.set()
                    self.stop.wait(troubles.met("loop", error))
        finally:
            ending.set()
            self.resting.set()
            self.notifications.close()
            # Whoever wants out at once does not wait for the others here.
            pool.shutdown(wait=False)
        for thread in beside:
            thread.result()

    def _one_turn(self, troubles: Troubles) -> None:
        self.resting.clear()
        term, state = self.leadership.term, self.leadership.state
        leads = self.leadership.hold()
        if self.leadership.state is not state:
            self.report(self.leadership.state)
        if self.leadership.term != term:
            # Somebody else may have led in between; what we remember of the run may be old.
            self.on_new_term()
        for turn in self.turns if leads else ():
            if time.monotonic() >= turn.due_at and not self.stop.is_set():
                turn.due_at = time.monotonic() + self._take(turn, troubles)
        self.resting.set()
        next_turn = min((turn.due_at for turn in self.turns), default=math.inf) if leads else math.inf
        if self.notifications.wait(max(0.0, min(next_turn - time.monotonic(), _LONGEST_WAIT_SECONDS))):
            for turn in self.turns:
                turn.due_at = 0.0 if turn.on_hint else turn.due_at

    def _take(self, turn: Turn, troubles: Troubles) -> float:
        """The seconds until its next turn. What a lock held up is tried again, and the others have theirs meanwhile."""
        if turn.rests and self.leadership.state is RunState.PAUSED:
            return turn.every_seconds
        name = type(turn.duty).__name__
        try:
            self.report(turn.duty.run_once())
        except StatementEnded as error:
            return troubles.met(name, error)
        troubles.over(name)
        return turn.every_seconds

    def _stay(self, turn: Turn, troubles: Troubles, ending: threading.Event) -> None:
        name = type(turn.duty).__name__
        while not ending.is_set():
            pause = turn.every_seconds
            if self.leadership.term is not None:
                try:
                    self.report(turn.duty.run_once())
                    troubles.over(name)
                except DatabaseError as error:
                    pause = troubles.met(name, error)
            ending.wait(pause)
