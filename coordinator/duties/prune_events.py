"""Keeps the log bounded. Units and gradients stay, each with its outcome: they are the record."""

from __future__ import annotations

import dataclasses

from sqlalchemy import Engine

from coordinator.ledger import events

_AT_MOST = 20_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    num_events: int


@dataclasses.dataclass(slots=True, kw_only=True)
class PruneEvents:
    engine: Engine
    keep_events: int
    _done_up_to: int = 0

    def run_once(self) -> Report:
        with self.engine.begin() as conn:
            forgotten = events.forget_events(conn, above=self._done_up_to, keep=self.keep_events, at_most=_AT_MOST)
        if forgotten.up_to is not None:
            self._done_up_to = forgotten.up_to
        return Report(num_events=forgotten.num_events)
