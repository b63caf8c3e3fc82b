"""Writes a version's whole weights now and then, where versions travel as deltas: beside the merges, so that no worker
waits for them. Whoever is new, or far behind, begins there."""

from __future__ import annotations

import dataclasses

from sqlalchemy import Engine

from contract.errors import DatabaseError, LeadershipLost
from contract.ids import Version
from coordinator.leadership import Leadership
from coordinator.ledger import versions
from coordinator.living_run import LivingRun


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    version: Version | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Keyframe:
    engine: Engine
    living: LivingRun
    leadership: Leadership
    interval: int

    def run_once(self) -> Report:
        living = self.living
        if living.is_stale or living.keyframe == living.head or not self._is_due():
            return Report()
        try:
            with self.engine.begin() as conn:
                self.leadership.require(conn)
                versions.add_keyframe(conn, run=living.run, version=living.head, parts=living.weights_parts())
        except (DatabaseError, LeadershipLost):
            # Whether it is written nobody knows: a connection may break while it commits.
            living.is_stale = True
            raise
        living.keyframe = living.head
        return Report(version=living.head)

    def _is_due(self) -> bool:
        # The last version of a run is what people come for.
        return self.living.head - self.living.keyframe >= self.interval or self.living.pool.is_empty
