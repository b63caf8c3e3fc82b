"""Opens work units: as many as are likely to be used, never the whole epoch."""

from __future__ import annotations

import dataclasses

from sqlalchemy import Engine

from contract.errors import DatabaseError
from contract.ids import UnitId
from coordinator.leadership import Leadership
from coordinator.ledger import gradients, units
from coordinator.living_run import LivingRun


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    opened: tuple[UnitId, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    engine: Engine
    living: LivingRun
    leadership: Leadership
    spare_units: int

    def run_once(self) -> Report:
        living = self.living
        if living.is_stale or living.spent is not None:
            return Report(opened=())
        with self.engine.begin() as conn:
            if living.mode != "async":
                # Units that failed for good or were handed back to the pool leave room for others.
                active = units.count_active(conn, run=living.run, planned_version=living.head)
                missing = living.num_gradients + self.spare_units - active
            else:
                # An update's worth, and for each worker what it computes next and what it claims ahead: so nobody waits
                # while we merge. All that is open will be used, there being no round that could overtake it. What waits
                # for its merge counts too: when we are the slowest, workers wait rather than compute what grows stale.
                workers = units.count_workers(conn, run=living.run)
                ready = units.count_open(conn, run=living.run) + gradients.count_waiting(conn, run=living.run)
                missing = living.num_gradients + 2 * workers - ready
        numbers = living.pool.take(max(0, missing))
        if not numbers:
            return Report(opened=())
        try:
            with self.engine.begin() as conn:
                # Who slept through other people's rounds would hand out samples that they have used.
                self.leadership.require(conn)
                opened = units.open_units(
                    conn,
                    run=living.run,
                    units=[self._unit(number) for number in numbers],
                    planned_version=None if living.mode == "async" else living.head,
                )
        except DatabaseError:
            living.is_stale = True
            raise
        return Report(opened=tuple(opened))

    def _unit(self, number: int) -> units.NewUnit:
        unit = self.living.cutting.unit(number)
        return units.NewUnit(
            epoch=unit.epoch, first_sample=unit.first_sample, num_samples=unit.num_samples, seed=unit.seed
        )
