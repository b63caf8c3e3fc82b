"""Counts who is here, and tells when the last one left or the first one came."""

from __future__ import annotations

import dataclasses

from sqlalchemy import Engine

from contract.ids import RunId
from coordinator.ledger import units


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`is_news`: the room was empty and is not any more, or the other way round."""

    num_workers: int
    is_news: bool


@dataclasses.dataclass(slots=True, kw_only=True)
class RollCall:
    engine: Engine
    run: RunId
    _was_empty: bool | None = None

    def run_once(self) -> Report:
        with self.engine.begin() as conn:
            num_workers = units.count_workers(conn, run=self.run)
        is_empty = num_workers == 0
        is_news, self._was_empty = is_empty is not self._was_empty, is_empty
        return Report(num_workers=num_workers, is_news=is_news)
