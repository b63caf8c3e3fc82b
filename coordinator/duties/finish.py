"""Ends the run when every epoch is computed or its privacy budget is spent, and says what became of the work."""

from __future__ import annotations

import dataclasses
from typing import Final

from sqlalchemy import Engine

from contract.states import RunState
from coordinator.leadership import Leadership
from coordinator.ledger import gradients, outcomes, runs, units
from coordinator.living_run import LivingRun

EVERY_EPOCH: Final = "every epoch is computed"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    # Why the run is finished; None while it is not.
    reason: str | None = None
    outcome: outcomes.Outcome | None = None

    @property
    def finished(self) -> bool:
        return self.reason is not None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    engine: Engine
    living: LivingRun
    leadership: Leadership

    def run_once(self) -> Report:
        living = self.living
        if living.is_stale or not (living.pool.is_empty or living.spent):
            return Report()
        with self.engine.begin() as conn:
            if living.spent is None and units.count_unfinished(conn, run=living.run):
                return Report()
            self.leadership.require(conn)
            reason = living.spent or EVERY_EPOCH
            if living.spent is not None:
                units.cancel_all(conn, run=living.run, reason=reason)
                waiting = [one.gradient for one in gradients.waiting_gradients(conn, run=living.run)]
                gradients.discard_late(conn, gradients=waiting, verdict=reason)
            runs.set_run_state(conn, run=living.run, state=RunState.FINISHED, reason=reason)
            outcome = outcomes.outcome_of(conn, run=living.run)
        return Report(reason=reason, outcome=outcome)
