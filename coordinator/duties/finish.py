"""Ends the run when every epoch is computed or its privacy budget is spent, and says what became of the work.

What is left of the last epoch may be too little for the rule. Then no update can be made of it, however long one waits:
it is cancelled, with the reason, and the run is over.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from sqlalchemy import Connection, Engine

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
            num_left = 0 if living.spent else units.count_unfinished(conn, run=living.run)
            if num_left and living.how.recipe.most_up_to(min(num_left, living.num_gradients)) is not None:
                return Report()
            self.leadership.require(conn)
            reason = living.spent or EVERY_EPOCH
            if num_left:
                reason = f"{reason}; {self._leave_over(conn, num_left)}"
            runs.set_run_state(conn, run=living.run, state=RunState.FINISHED, reason=reason)
            outcome = outcomes.outcome_of(conn, run=living.run)
        return Report(reason=reason, outcome=outcome)

    def _leave_over(self, conn: Connection, num_left: int) -> str:
        living = self.living
        units_are = "the last unit is" if num_left == 1 else f"the last {num_left} units are"
        reason = f"{units_are} too few for an update: {living.how.recipe.problem(num_left)}"
        units.cancel_left_over(conn, run=living.run, reason=reason)
        waiting = [gradient.gradient for gradient in gradients.waiting_gradients(conn, run=living.run)]
        gradients.discard_late(conn, gradients=waiting, verdict=reason)
        return reason
