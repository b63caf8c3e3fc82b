"""Ends the run when every epoch is computed, and says what became of the work."""

from __future__ import annotations

import dataclasses

from sqlalchemy import Engine

from contract.states import RunState
from coordinator.leadership import Leadership
from coordinator.ledger import outcomes, runs, units
from coordinator.living_run import LivingRun


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    finished: bool
    outcome: outcomes.Outcome | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    engine: Engine
    living: LivingRun
    leadership: Leadership

    def run_once(self) -> Report:
        living = self.living
        if living.is_stale or not living.pool.is_empty:
            return Report(finished=False)
        with self.engine.begin() as conn:
            if units.count_unfinished(conn, run=living.run):
                return Report(finished=False)
            self.leadership.require(conn)
            runs.set_run_state(conn, run=living.run, state=RunState.FINISHED, reason="every epoch is computed")
            outcome = outcomes.outcome_of(conn, run=living.run)
        return Report(finished=True, outcome=outcome)
