"""Opens work units: as many as are likely to be used, never the whole epoch."""

from __future__ import annotations

import dataclasses

from sqlalchemy import Engine

from contract.ids import UnitId
from contract.workloads.order import unit_seed
from coordinator.ledger import units
from coordinator.living_run import LivingRun
from coordinator.planning import Range


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    opened: tuple[UnitId, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    engine: Engine
    living: LivingRun
    seed: int
    spare_units: int

    def run_once(self) -> Report:
        living = self.living
        with self.engine.begin() as conn:
            if living.mode == "sync":
                # Units that failed for good or were handed back to the pool leave room for others.
                active = units.count_active(conn, run=living.run, planned_version=living.head)
                missing = living.num_gradients + self.spare_units - active
            else:
                workers = units.count_workers(conn, run=living.run)
                missing = max(living.num_gradients, 2 * workers) - units.count_open(conn, run=living.run)
        ranges = living.pool.take(max(0, missing))
        if not ranges:
            return Report(opened=())
        try:
            with self.engine.begin() as conn:
                opened = units.open_units(
                    conn,
                    run=living.run,
                    units=[self._unit(range_) for range_ in ranges],
                    planned_version=living.head if living.mode == "sync" else None,
                )
        except BaseException:
            living.pool.put_back(ranges)
            raise
        return Report(opened=tuple(opened))

    def _unit(self, range_: Range) -> units.NewUnit:
        return units.NewUnit(
            epoch=range_.epoch,
            first_sample=range_.first,
            num_samples=range_.num,
            seed=unit_seed(run_seed=self.seed, epoch=range_.epoch, first_sample=range_.first),
        )
