"""Volunteers against each other and against the coordinator."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, text

from contract.errors import AlreadySubmitted, LeaseLost
from contract.ids import GradientId, UnitId, Version
from coordinator.ledger import gradients, units
from tests.integration.classroom import GRADIENT, Classroom, claim, classroom, join, submission
from tests.integration.desk import Desk, desk
from tests.integration.two_at_once import blocked, open_transaction
from worker import ledger
from worker.ledger import Joined, Lease

__all__ = ["classroom", "desk"]


def test_two_claimers_never_get_one_unit(classroom: Classroom) -> None:
    alice, bob = classroom.invite("alice"), classroom.invite("bob")
    first, second = classroom.open_units(2)
    joined, bobs = join(alice), join(bob)
    with open_transaction(alice) as one, open_transaction(bob) as other:
        hers, his = claims(one, joined), claims(other, bobs)
        one.commit()
        other.commit()
    assert hers is not None
    assert his is not None
    assert (hers.unit, his.unit) == (first, second)


def test_a_claimer_does_not_wait_for_another(classroom: Classroom) -> None:
    alice, bob = classroom.invite("alice"), classroom.invite("bob")
    (unit,) = classroom.open_units(1)
    joined, bobs = join(alice), join(bob)
    with open_transaction(alice) as one:
        claims(one, joined)
        with bob.begin() as other:
            assert claims(other, bobs) is None
        one.rollback()
    assert claim(bob, bobs).unit == unit


def test_two_workers_never_take_over_one_expired_lease(desk: Desk) -> None:
    desk.expire()
    carol = desk.room.invite("carol")
    carols = join(carol)
    with open_transaction(desk.bob) as one, open_transaction(carol) as other:
        taken = claims(one, desk.bobs)
        assert claims(other, carols) is None
        one.commit()
        assert claims(other, carols) is None
    assert taken is not None
    assert (taken.unit, taken.attempt) == (desk.lease.unit, 2)


def test_the_same_worker_on_two_connections_gets_two_units(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    classroom.open_units(2)
    joined = join(alice)
    with open_transaction(alice) as one, open_transaction(alice) as other:
        first, second = claims(one, joined), claims(other, joined)
        one.commit()
        other.commit()
    assert first is not None
    assert second is not None
    assert first.unit != second.unit


def test_a_cancellation_passes_over_a_unit_that_is_being_claimed(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    first, second = classroom.open_units(2, planned_version=Version(0))
    joined = join(alice)
    with open_transaction(alice) as one:
        lease = claims(one, joined)
        assert cancel(classroom) == [second]
        one.commit()
    assert lease is not None
    assert cancel(classroom) == [first]
    with pytest.raises(LeaseLost, match="cancelled"), alice.begin() as conn:
        ledger.submit(conn, lease=lease, submission=submission(), last_part=GRADIENT)


def test_a_claim_passes_over_a_unit_that_is_being_cancelled(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    classroom.open_units(1, planned_version=Version(0))
    joined = join(alice)
    with open_transaction(classroom.owner) as owner:
        units.cancel_overtaken(owner, run=classroom.run, version=Version(0), reason="version 1 is out")
        with alice.begin() as conn:
            assert claims(conn, joined) is None
        owner.commit()


def test_reaping_passes_over_a_lease_that_is_being_taken(desk: Desk) -> None:
    desk.expire()
    with open_transaction(desk.bob) as one:
        claims(one, desk.bobs)
        with desk.room.owner.begin() as owner:
            assert units.reap(owner, run=desk.room.run) == units.Reaped(reopened=(), failed=())
        one.commit()
    assert desk.state() == ("leased", 2, 1)


def test_a_claim_passes_over_a_lease_that_is_being_reaped(desk: Desk) -> None:
    desk.expire()
    with open_transaction(desk.room.owner) as owner:
        units.reap(owner, run=desk.room.run)
        with desk.bob.begin() as conn:
            assert claims(conn, desk.bobs) is None
        owner.commit()
    taken = claim(desk.bob, desk.bobs)
    assert (taken.unit, taken.attempt) == (desk.lease.unit, 2)
    assert desk.state() == ("leased", 2, 1)


def test_a_submit_that_came_first_is_not_cancelled(desk: Desk) -> None:
    with open_transaction(desk.alice) as one:
        ledger.submit(one, lease=desk.lease, submission=submission(), last_part=GRADIENT)
        assert cancel(desk.room) == []
        one.commit()
    assert cancel(desk.room) == []
    assert desk.state() == ("submitted", 1, 0)
    assert len(desk.waiting()) == 1


def test_a_submit_waits_for_a_cancellation_and_is_refused(desk: Desk) -> None:
    with open_transaction(desk.room.owner) as owner, open_transaction(desk.alice) as one:
        units.cancel_overtaken(owner, run=desk.room.run, version=Version(0), reason="version 1 is out")
        with blocked(owner, one, lambda: submit(one, desk)) as submitted:
            owner.commit()
            with pytest.raises(LeaseLost, match="cancelled: version 1 is out"):
                submitted.result()
    assert desk.waiting() == []


def test_a_submit_survives_a_cancellation_that_is_taken_back(desk: Desk) -> None:
    with open_transaction(desk.room.owner) as owner, open_transaction(desk.alice) as one:
        units.cancel_overtaken(owner, run=desk.room.run, version=Version(0), reason="version 1 is out")
        with blocked(owner, one, lambda: submit(one, desk)) as submitted:
            owner.rollback()
            submitted.result()
        one.commit()
    assert desk.state() == ("submitted", 1, 0)


def test_reaping_passes_over_a_unit_that_is_being_submitted(desk: Desk) -> None:
    desk.expire()
    with open_transaction(desk.alice) as one:
        submit(one, desk)
        desk.reap()
        one.commit()
    desk.reap()
    assert desk.state() == ("submitted", 1, 0)


def test_a_submit_waits_for_the_reaper_and_is_refused(desk: Desk) -> None:
    desk.expire()
    with open_transaction(desk.room.owner) as owner, open_transaction(desk.alice) as one:
        units.reap(owner, run=desk.room.run)
        with blocked(owner, one, lambda: submit(one, desk)) as submitted:
            owner.commit()
            with pytest.raises(LeaseLost, match="is open"):
                submitted.result()
    assert desk.waiting() == []


def test_a_submit_waits_for_the_next_holder_and_is_refused(desk: Desk) -> None:
    desk.expire()
    with (
        open_transaction(desk.room.owner) as owner,
        open_transaction(desk.alice) as one,
        open_transaction(desk.bob) as other,
    ):
        claims(other, desk.bobs)
        with blocked(owner, one, lambda: submit(one, desk)) as submitted:
            other.commit()
            with pytest.raises(LeaseLost, match="is not leased to worker"):
                submitted.result()
    assert desk.state() == ("leased", 2, 1)


def test_two_submits_of_one_lease_count_once(desk: Desk) -> None:
    with (
        open_transaction(desk.room.owner) as owner,
        open_transaction(desk.alice) as one,
        open_transaction(desk.alice) as other,
    ):
        submit(one, desk)
        with blocked(owner, other, lambda: submit(other, desk)) as submitted:
            one.commit()
            with pytest.raises(AlreadySubmitted):
                submitted.result()
    assert len(desk.waiting()) == 1


def test_the_uploads_of_two_connections_add_up(desk: Desk) -> None:
    with (
        open_transaction(desk.room.owner) as owner,
        open_transaction(desk.alice) as one,
        open_transaction(desk.alice) as other,
    ):
        assert ledger.upload_part(one, lease=desk.lease, part=0, content=b"first") == 5
        upload = lambda: ledger.upload_part(other, lease=desk.lease, part=1, content=b"last")  # noqa: E731
        with blocked(owner, other, upload) as uploaded:
            one.commit()
            assert uploaded.result() == 9
        other.commit()


def test_an_upload_in_flight_is_not_discarded(desk: Desk) -> None:
    with desk.alice.begin() as conn:
        ledger.upload_part(conn, lease=desk.lease, part=0, content=b"first")
    desk.expire()
    with open_transaction(desk.alice) as one:
        ledger.upload_part(one, lease=desk.lease, part=1, content=b"last")
        desk.reap()
        one.commit()
    assert desk.state() == ("leased", 1, 0)
    with desk.room.owner.begin() as owner:
        assert owner.execute(text("SELECT state, num_bytes FROM ledger.gradients")).one() == ("uploading", 9)


def test_an_upload_waits_for_the_reaper_and_is_refused(desk: Desk) -> None:
    with desk.alice.begin() as conn:
        ledger.upload_part(conn, lease=desk.lease, part=0, content=b"first")
    desk.expire()
    with open_transaction(desk.room.owner) as owner, open_transaction(desk.alice) as one:
        units.reap(owner, run=desk.room.run)
        assert len(gradients.discard_stale_uploads(owner, run=desk.room.run)) == 1
        upload = lambda: ledger.upload_part(one, lease=desk.lease, part=1, content=b"last")  # noqa: E731
        with blocked(owner, one, upload) as uploaded:
            owner.commit()
            with pytest.raises(LeaseLost):
                uploaded.result()
    with desk.room.owner.begin() as owner:
        assert owner.execute(text("SELECT state, num_bytes FROM ledger.gradients")).one() == ("discarded", 5)


def test_a_worker_that_leaves_does_not_wait_for_its_own_upload(desk: Desk) -> None:
    with open_transaction(desk.alice) as one:
        ledger.upload_part(one, lease=desk.lease, part=0, content=b"first")
        with desk.alice.begin() as conn:
            ledger.leave(conn, worker=desk.joined.worker, reason="school is over")
        one.commit()
    assert desk.state() == ("leased", 1, 0)
    desk.expire()
    assert claim(desk.bob, desk.bobs).attempt == 2


def claims(conn: Connection, joined: Joined) -> Lease | None:
    return ledger.claim(conn, worker=joined.worker)


def cancel(room: Classroom) -> list[UnitId]:
    with room.owner.begin() as conn:
        cancelled = units.cancel_overtaken(conn, run=room.run, version=Version(0), reason="version 1 is out")
        return [one.unit for one in cancelled]


def submit(conn: Connection, desk: Desk) -> GradientId:
    return ledger.submit(conn, lease=desk.lease, submission=submission(), last_part=GRADIENT)
