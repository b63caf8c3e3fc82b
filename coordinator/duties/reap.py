"""Takes back what nobody works on any more: leases that are over, uploads whose lease has ended."""

from __future__ import annotations

import dataclasses

from sqlalchemy import Engine

from contract.ids import GradientId, RunId, UnitId
from coordinator.ledger import gradients, runs, units


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    reopened: tuple[UnitId, ...]
    failed: tuple[UnitId, ...]
    discarded: tuple[GradientId, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reap:
    engine: Engine
    run: RunId

    def run_once(self) -> Report:
        with self.engine.begin() as conn:
            reaped = units.reap(conn, run=self.run)
            discarded = gradients.discard_stale_uploads(conn, run=self.run)
        with self.engine.begin() as conn:
            runs.raise_claim_floor(conn, run=self.run)
        return Report(reopened=reaped.reopened, failed=reaped.failed, discarded=tuple(discarded))
