"""Writes down what the optimizer remembers, a while behind the versions: twice the weights' bytes, which nobody waits
for. Until then the gradients merged since are kept, and a restart merges them once more."""

from __future__ import annotations

import dataclasses
import time

from sqlalchemy import Engine

from contract.errors import DatabaseError, LeadershipLost
from contract.ids import Version
from coordinator.leadership import Leadership
from coordinator.ledger import versions
from coordinator.living_run import LivingRun

# Gradients are kept until this is written: at most so many times its own size of them, or so many seconds.
_MOST_GRADIENTS = 4
_LONGEST_SECONDS = 10.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    version: Version | None = None


@dataclasses.dataclass(slots=True, kw_only=True)
class Remember:
    engine: Engine
    living: LivingRun
    leadership: Leadership
    most_gradients: int = _MOST_GRADIENTS
    longest_seconds: float = _LONGEST_SECONDS
    _written_at: float = dataclasses.field(default_factory=time.monotonic)

    def run_once(self) -> Report:
        living = self.living
        if living.is_stale or living.remembered == living.head or not self._is_due():
            return Report()
        try:
            with self.engine.begin() as conn:
                self.leadership.require(conn)
                parts = living.optimizer_parts()
                versions.add_parts(conn, run=living.run, version=living.head, kind="optimizer", parts=parts)
        except (DatabaseError, LeadershipLost):
            # Whether it is written nobody knows: a connection may break while it commits.
            living.is_stale = True
            raise
        living.remembered, living.unremembered_bytes = living.head, 0
        self._written_at = time.monotonic()
        return Report(version=living.head)

    def _is_due(self) -> bool:
        living = self.living
        return (
            living.unremembered_bytes >= self.most_gradients * len(living.state.optimizer_blob)
            or time.monotonic() - self._written_at >= self.longest_seconds
            # The run is near its end, and whoever goes on from there should find all of it.
            or living.pool.is_empty
        )
