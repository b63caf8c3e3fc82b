"""Ends the run when every epoch is computed or its privacy budget is spent, and says what became of the work.

What is left of the last epoch may be too little for the rule. Then no update can be made of it, however long one waits:
it is cancelled, with the reason, and the run is over.
"""

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
            num_left = units.count_unfinished(conn, run=living.run)
            left_over = self._left_over(num_left)
            if num_left and living.spent is None and left_over is None:
                return Report()
            self.leadership.require(conn)
            reason = living.spent or (f"{EVERY_EPOCH}; {left_over}" if left_over else EVERY_EPOCH)
            if num_left:
                units.cancel_all(conn, run=living.run, reason=reason)
                waiting = [one.gradient for one in gradients.waiting_gradients(conn, run=living.run)]
                gradients.discard_late(conn, gradients=waiting, verdict=reason)
            runs.set_run_state(conn, run=living.run, state=RunState.FINISHED, reason=reason)
            outcome = outcomes.outcome_of(conn, run=living.run)
        return Report(reason=reason, outcome=outcome)

    def _left_over(self, num_left: int) -> str | None:
        """Why no update will be made of what is left, or None."""
        living = self.living
        if not num_left or living.how.recipe.most_up_to(min(num_left, living.num_gradients)) is not None:
            return None
        units_are = "the last unit is" if num_left == 1 else f"the last {num_left} units are"
        return f"{units_are} too few for an update: {living.how.recipe.problem(num_left)}"
