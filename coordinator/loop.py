"""The coordinator's life on one screen: lead, run the duties that are due, wait for a hint or the next one."""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from contract.database import Notifications
from contract.errors import DatabaseError, LeadershipLost
from contract.states import RunState
from coordinator.leadership import Leadership

_LONGEST_WAIT_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0


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
    leadership: Leadership
    turns: Sequence[Turn]
    notifications: Notifications
    stop: threading.Event
    report: Callable[[object], None]
    is_over: Callable[[], bool]
    on_new_term: Callable[[], None]

    def run(self) -> None:
        """Until the run is over or somebody stops us. The database may go and come back as it likes."""
        failures = 0
        try:
            while not self.stop.is_set() and not self.is_over():
                try:
                    self._one_turn()
                    failures = 0
                except (DatabaseError, LeadershipLost) as error:
                    failures += 1
                    self.report(error)
                    # Jitter: a class of coordinators and workers must not come back all at one moment.
                    pause = min(_LONGEST_PAUSE_SECONDS, 0.5 * 2**failures) * random.uniform(0.5, 1)  # noqa: S311
                    self.stop.wait(pause)
        finally:
            self.notifications.close()

    def _one_turn(self) -> None:
        term, state = self.leadership.term, self.leadership.state
        leads = self.leadership.hold()
        if self.leadership.state is not state:
            self.report(self.leadership.state)
        if self.leadership.term != term:
            # Somebody else may have led in between; what we remember of the run may be old.
            self.on_new_term()
        if not leads:
            self.notifications.wait(_LONGEST_WAIT_SECONDS)
            return
        for turn in self.turns:
            if time.monotonic() >= turn.due_at and not self.stop.is_set():
                turn.due_at = time.monotonic() + turn.every_seconds
                if not (turn.rests and self.leadership.state is RunState.PAUSED):
                    self.report(turn.duty.run_once())
        wait = min((turn.due_at for turn in self.turns), default=0.0) - time.monotonic()
        if self.notifications.wait(max(0.0, min(wait, _LONGEST_WAIT_SECONDS))):
            for turn in self.turns:
                turn.due_at = 0.0 if turn.on_hint else turn.due_at
