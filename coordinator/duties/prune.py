"""Frees what is no longer needed: bytes of merged gradients, old versions, the optimizer's past."""

from __future__ import annotations

import dataclasses

from sqlalchemy import Engine

from contract.ids import Version
from coordinator.ledger import gradients, versions
from coordinator.living_run import LivingRun


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    num_parts: int
    num_blobs: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Prune:
    engine: Engine
    living: LivingRun
    keep_versions: int
    keep_gradient_blobs: int
    # Deltas of so many versions stay for workers that follow, beyond what it takes to have the versions that are kept.
    keep_deltas: int

    def run_once(self) -> Report:
        living = self.living
        with self.engine.begin() as conn:
            # A restart, and an audit, go on from a version whose optimizer is remembered, with the gradients that were
            # merged since.
            audited = Version(living.head - self.keep_gradient_blobs)
            remembered = versions.remembered_since(conn, run=living.run, since=audited)
            num_parts = versions.forget_weights(
                conn,
                run=living.run,
                # Workers may still compute on a version of the bounded past.
                before=Version(living.head - self.keep_versions + 1),
                spared=remembered,
                led_from=Version(living.head - self.keep_deltas),
            )
            num_parts += versions.forget_optimizer(conn, run=living.run, before=remembered[0])
            num_blobs = gradients.forget_blobs(conn, run=living.run, up_to=remembered[0])
        if num_parts or num_blobs:
            gradients.reclaim_space(self.engine)
        return Report(num_parts=num_parts, num_blobs=num_blobs)
