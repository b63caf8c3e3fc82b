"""Alice holds a unit, Bob would like to have one: where the tests of fencing begin."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, Engine, text

from contract.errors import (
    BarnraiseError,
)
from contract.ids import GradientId, Version
from coordinator.duties.reap import Reap
from coordinator.ledger import gradients
from tests.integration.classroom import GRADIENT, Classroom, claim, classroom, join, submission
from tests.integration.moving_time import expire_lease
from worker import ledger
from worker.ledger import Joined, Lease

__all__ = ["classroom", "desk"]


Write = Callable[[Connection, Lease], object]


def send_submit(conn: Connection, lease: Lease) -> GradientId:
    return ledger.submit(conn, lease=lease, submission=submission(), last_part=GRADIENT)


def send_part(conn: Connection, lease: Lease) -> int:
    return ledger.upload_part(conn, lease=lease, part=0, content=GRADIENT)


def send_release(conn: Connection, lease: Lease) -> None:
    ledger.release(conn, lease=lease, reason="too hot", failed=True)


WRITES = pytest.mark.parametrize("write", [send_submit, send_part, send_release])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Alice holds a unit; Bob has joined."""

    room: Classroom
    alice: Engine
    bob: Engine
    joined: Joined
    bobs: Joined
    lease: Lease

    def expire(self) -> None:
        with self.room.owner.begin() as conn:
            expire_lease(conn, self.lease.unit)

    def reap(self) -> None:
        Reap(engine=self.room.owner, run=self.room.run).run_once()

    def be_patient(self) -> None:
        with self.room.owner.begin() as conn:
            conn.execute(text("UPDATE ledger.runs SET max_retries = 100"))

    def state(self) -> tuple[str, int, int]:
        with self.room.owner.begin() as conn:
            row = conn.execute(
                text("SELECT state, attempt, num_failures FROM ledger.work_units WHERE id = :unit"),
                {"unit": self.lease.unit},
            ).one()
        return row.state, row.attempt, row.num_failures

    def waiting(self) -> list[gradients.WaitingGradient]:
        with self.room.owner.begin() as conn:
            return gradients.waiting_gradients(conn, run=self.room.run)

    def refused(
        self, engine: Engine, lease: Lease, write: Write, error: type[BarnraiseError], match: str | None = None
    ) -> None:
        """And nothing is different afterwards."""
        before = self.everything()
        with pytest.raises(error, match=match), engine.begin() as conn:
            write(conn, lease)
        assert self.everything() == before

    def everything(self) -> list[object]:
        statements = [
            f"SELECT * FROM ledger.{table} ORDER BY 1, 2"
            for table in ("work_units", "gradients", "gradient_blobs", "workers", "events")
        ]
        with self.room.owner.begin() as conn:
            return [conn.execute(text(statement)).all() for statement in statements]


@pytest.fixture
def desk(classroom: Classroom) -> Desk:
    alice, bob = classroom.invite("alice"), classroom.invite("bob")
    classroom.open_units(1, planned_version=Version(0))
    joined, bobs = join(alice), join(bob)
    return Desk(room=classroom, alice=alice, bob=bob, joined=joined, bobs=bobs, lease=claim(alice, joined))
