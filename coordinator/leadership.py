"""One coordinator leads a run; another one started by mistake, or as a standby, waits for its turn."""

from __future__ import annotations

import dataclasses
import datetime
import socket
import uuid

from sqlalchemy import Connection, Engine

from contract.ids import RunId
from contract.states import RunState
from coordinator.ledger import runs

LEASE_SECONDS = 5.0


@dataclasses.dataclass(slots=True, kw_only=True)
class Leadership:
    """The lease is taken anew at every turn of the loop, and renewed beside it while a turn takes long; a process that
    stands still for longer than the lease has lost the run.

    `state` and `is_asked_to_stop` are the run's at the last turn.
    """

    engine: Engine
    run: RunId
    holder: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)
    term: int | None = None
    state: RunState = RunState.CREATED
    is_asked_to_stop: bool = False
    _began_at: datetime.datetime | None = None

    def hold(self) -> bool:
        with self.engine.begin() as conn:
            standing = runs.standing(conn, run=self.run)
            self._began_at = self._began_at or standing.now
            asked_at = standing.stop_asked_at
            # A request of last week is not meant for the coordinator that was started today.
            self.is_asked_to_stop = asked_at is not None and asked_at >= self._began_at
            self.state = standing.state
            self.term = runs.lead(
                conn, run=self.run, holder=self.holder, host=socket.gethostname(), lease_seconds=LEASE_SECONDS
            )
        return self.term is not None

    @property
    def is_over(self) -> bool:
        """Nothing is left to lead, or somebody asked this process to end."""
        return self.is_asked_to_stop or self.state in (RunState.FINISHED, RunState.FAILED)

    def renew(self) -> None:
        term = self.term
        if term is not None:
            with self.engine.begin() as conn:
                runs.renew_lead(conn, run=self.run, holder=self.holder, term=term, lease_seconds=LEASE_SECONDS)

    def require(self, conn: Connection) -> None:
        runs.require_lead(conn, run=self.run, holder=self.holder, term=self.term)

    def give_up(self) -> None:
        with self.engine.begin() as conn:
            runs.yield_lead(conn, run=self.run, holder=self.holder)
        self.term = None
