"""Where `training.num_workunits_per_update` is auto: how many gradients the next update takes, by who is here."""

from __future__ import annotations

import dataclasses

from sqlalchemy import Engine

from contract.ids import Version
from coordinator.class_size import next_num_gradients
from coordinator.leadership import Leadership
from coordinator.ledger import runs, units
from coordinator.living_run import LivingRun


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`after` is None where nothing changed."""

    before: int
    after: int | None = None
    num_workers: int = 0


@dataclasses.dataclass(slots=True, kw_only=True)
class Resize:
    """Decides once for each version, so that no round changes its size while people work for it."""

    engine: Engine
    living: LivingRun
    leadership: Leadership
    _decided_for: Version | None = None

    def run_once(self) -> Report:
        living, before = self.living, self.living.num_gradients
        follows = living.training["num_workunits_per_update"] == "auto"
        if not follows or living.is_stale or self._decided_for == living.head:
            return Report(before=before)
        with self.engine.begin() as conn:
            num_workers = units.count_workers(conn, run=living.run)
            after = next_num_gradients(num_workers, before=before)
            while living.how.recipe.problem(after) is not None:
                after += 1
            if after != before:
                self.leadership.require(conn)
                here = "1 worker is" if num_workers == 1 else f"{num_workers} workers are"
                reason = f"auto: {here} here, from version {living.head} on"
                runs.set_num_gradients(conn, run=living.run, number=after, reason=reason)
        living.num_gradients = after
        # While nobody is here the first to come decides.
        self._decided_for = living.head if num_workers else None
        return Report(before=before, after=after if after != before else None, num_workers=num_workers)
