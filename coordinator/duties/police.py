"""Ends volunteers' sessions that outstay their limits, and names whoever else keeps the coordinator waiting.

The limits are settings of their roles too, but those a volunteer may SET to anything; this they cannot.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from sqlalchemy import Engine

from coordinator.ledger import people

# A class fills no thousandth of the queue in an hour: so much is a flood, and a listener who never reads.
_CROWDED: Final = 0.1
# What remains of a volunteer's limits then.
_HASTE: Final = 0.1
# On a slow line a transaction may well hold a row for a while.
_FAIR_SECONDS: Final = 5.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`in_the_way` are sessions of others whose locks the coordinator waits for, each told once.

    `queue_share` is how full the queue of notifications is, where that is news; else 0.
    """

    ended: tuple[people.Overstaying, ...]
    in_the_way: tuple[people.HoldingUp, ...] = ()
    queue_share: float = 0.0


@dataclasses.dataclass(slots=True, kw_only=True)
class Police:
    engine: Engine
    transaction_seconds: float = 60
    idle_seconds: float = 30
    crowded: float = _CROWDED
    fair_seconds: float = _FAIR_SECONDS
    _at_fault: frozenset[int] = frozenset()
    _told: frozenset[int] = frozenset()
    _was_crowded: bool = False

    def run_once(self) -> Report:
        with self.engine.begin() as conn:
            share = people.share_of_notifications_waiting(conn)
            # Nothing is dropped from the queue before the slowest listener has read it.
            haste = _HASTE if share >= self.crowded else 1.0
            at_fault = people.overstaying(
                conn, transaction_seconds=haste * self.transaction_seconds, idle_seconds=haste * self.idle_seconds
            )
            # Between two pieces of a slow download a session looks for a moment as if it did not wait for its line.
            found = [session for session in at_fault if session.pid in self._at_fault or haste < 1.0]
            self._at_fault = frozenset(session.pid for session in at_fault)
            in_the_way = [
                session
                for session in people.holding_up(conn)
                if session.seconds is None or session.seconds >= self.fair_seconds
            ]
            known = {session.pid for session in found}
            found += [_offence(one) for one in in_the_way if one.volunteer is not None and one.pid not in known]
            ended = tuple(session for session in found if people.end_session(conn, pid=session.pid))
        strangers = [session for session in in_the_way if session.volunteer is None]
        news = tuple(session for session in strangers if session.pid not in self._told)
        self._told = frozenset(session.pid for session in strangers)
        is_crowded_now = haste < 1.0 and not self._was_crowded
        self._was_crowded = haste < 1.0
        return Report(ended=ended, in_the_way=news, queue_share=share if is_crowded_now else 0.0)


def _offence(session: people.HoldingUp) -> people.Overstaying:
    return people.Overstaying(
        pid=session.pid,
        volunteer=session.volunteer or session.login,
        offence="held what the coordinator needs",
        seconds=session.seconds or 0.0,
    )
