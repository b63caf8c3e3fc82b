"""Ends volunteers' sessions that outstay their limits.

The limits are settings of their roles too, but those a volunteer may SET to anything; this they cannot.
"""

from __future__ import annotations

import dataclasses

from sqlalchemy import Engine

from coordinator.ledger import people


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    ended: tuple[people.Overstaying, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Police:
    engine: Engine
    transaction_seconds: float = 60
    idle_seconds: float = 30

    def run_once(self) -> Report:
        with self.engine.begin() as conn:
            found = people.overstaying(
                conn, transaction_seconds=self.transaction_seconds, idle_seconds=self.idle_seconds
            )
            return Report(ended=tuple(session for session in found if people.end_session(conn, pid=session.pid)))
