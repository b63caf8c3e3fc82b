"""A late, doubled or borrowed write is refused with a clear error, and changes nothing."""

from __future__ import annotations

import dataclasses
import uuid

import pytest

from contract.errors import (
    AlreadySubmitted,
    LeaseLost,
    NotFound,
)
from contract.ids import Version
from coordinator.ledger import units
from tests.integration.classroom import claim, classroom, join
from tests.integration.desk import WRITES, Desk, Write, desk, send_submit
from worker import ledger

__all__ = ["classroom", "desk"]


@WRITES
def test_a_lease_that_another_took_is_lost(desk: Desk, write: Write) -> None:
    desk.expire()
    taken = claim(desk.bob, desk.bobs)
    assert (taken.unit, taken.attempt) == (desk.lease.unit, 2)
    desk.refused(desk.alice, desk.lease, write, LeaseLost, "is not leased to worker")


@WRITES
def test_an_expired_lease_that_nobody_took_still_stands(desk: Desk, write: Write) -> None:
    desk.expire()
    with desk.alice.begin() as conn:
        write(conn, desk.lease)


@WRITES
def test_a_reaped_lease_is_lost(desk: Desk, write: Write) -> None:
    desk.expire()
    desk.reap()
    desk.refused(desk.alice, desk.lease, write, LeaseLost, "is open")


@WRITES
def test_nothing_more_is_taken_after_the_submit(desk: Desk, write: Write) -> None:
    with desk.alice.begin() as conn:
        send_submit(conn, desk.lease)
    desk.refused(desk.alice, desk.lease, write, AlreadySubmitted)


@WRITES
def test_nothing_is_taken_after_a_cancellation(desk: Desk, write: Write) -> None:
    with desk.room.owner.begin() as conn:
        units.cancel_overtaken(conn, run=desk.room.run, version=Version(0), reason="version 1 is out")
    desk.refused(desk.alice, desk.lease, write, LeaseLost, "cancelled: version 1 is out")


@WRITES
def test_a_released_lease_is_gone(desk: Desk, write: Write) -> None:
    with desk.alice.begin() as conn:
        ledger.release(conn, lease=desk.lease, reason="closing the lid")
    desk.refused(desk.alice, desk.lease, write, LeaseLost)


@WRITES
def test_another_worker_of_the_same_person_may_not_write(desk: Desk, write: Write) -> None:
    other = join(desk.alice, "desktop")
    desk.refused(desk.alice, dataclasses.replace(desk.lease, worker=other.worker), write, LeaseLost)


@WRITES
def test_another_person_with_the_right_token_may_not_write(desk: Desk, write: Write) -> None:
    desk.refused(desk.bob, dataclasses.replace(desk.lease, worker=desk.bobs.worker), write, LeaseLost)


@WRITES
def test_another_person_may_not_speak_for_the_worker(desk: Desk, write: Write) -> None:
    desk.refused(desk.bob, desk.lease, write, NotFound, "you have no worker")


@WRITES
@pytest.mark.parametrize("attempt", [0, 2])
def test_another_attempt_is_refused(desk: Desk, write: Write, attempt: int) -> None:
    lease = dataclasses.replace(desk.lease, attempt=attempt)
    desk.refused(desk.alice, lease, write, LeaseLost, f"is at attempt 1, not {attempt}")


@WRITES
def test_a_wrong_token_is_refused(desk: Desk, write: Write) -> None:
    lease = dataclasses.replace(desk.lease, token=uuid.uuid4())
    desk.refused(desk.alice, lease, write, LeaseLost, "the token is not that of the lease")


@WRITES
def test_the_token_of_an_earlier_attempt_is_refused(desk: Desk, write: Write) -> None:
    desk.expire()
    again = claim(desk.alice, desk.joined)
    assert (again.unit, again.attempt) == (desk.lease.unit, 2)
    desk.refused(desk.alice, desk.lease, write, LeaseLost, "is at attempt 2, not 1")
    desk.refused(desk.alice, dataclasses.replace(again, token=desk.lease.token), write, LeaseLost, "token")


@WRITES
def test_a_worker_that_left_writes_no_more(desk: Desk, write: Write) -> None:
    with desk.alice.begin() as conn:
        ledger.leave(conn, worker=desk.joined.worker, reason="school is over")
    assert desk.state() == ("open", 1, 0)
    desk.refused(desk.alice, desk.lease, write, NotFound, "has left .school is over.; join again")
