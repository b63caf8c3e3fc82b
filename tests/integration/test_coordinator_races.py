"""Two coordinators started by mistake, and one whose statements overlap with its own."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import Connection, text

from contract.errors import IllegalTransition, LeadershipLost
from contract.ids import GradientId, Version
from coordinator.ledger import gradients, runs, units, versions
from tests.integration.classroom import GRADIENT, Classroom, claim, classroom, join, submission
from tests.integration.desk import Desk, desk
from tests.integration.two_at_once import blocked, open_transaction
from worker import ledger

__all__ = ["classroom", "desk"]


def test_two_coordinators_give_each_position_once(classroom: Classroom) -> None:
    new = [units.NewUnit(epoch=0, first_sample=0, num_samples=10, seed=0)] * 3
    with open_transaction(classroom.owner) as one, open_transaction(classroom.owner) as other:
        with classroom.owner.begin() as watcher:
            units.open_units(one, run=classroom.run, units=new)
            with blocked(watcher, other, lambda: units.open_units(other, run=classroom.run, units=new)) as opened:
                one.commit()
                opened.result()
        other.commit()
        positions = one.execute(text("SELECT position FROM ledger.work_units ORDER BY position")).scalars().all()
    assert positions == [0, 1, 2, 3, 4, 5]


def test_units_that_open_while_the_floor_rises_are_found(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    joined = join(alice)
    classroom.open_units(2)
    claim(alice, joined)
    claim(alice, joined)
    new = [units.NewUnit(epoch=0, first_sample=0, num_samples=10, seed=0)] * 2
    with (
        open_transaction(classroom.owner) as one,
        open_transaction(classroom.owner) as other,
        classroom.owner.connect() as watcher,
    ):
        opened = units.open_units(one, run=classroom.run, units=new)
        # It sees no open unit, so the floor becomes the end of the queue as it sees it: where the new ones begin.
        with blocked(watcher, other, lambda: runs.raise_claim_floor(other, run=classroom.run)) as raised:
            one.commit()
            raised.result()
        other.commit()
        assert watcher.execute(text("SELECT claim_floor FROM ledger.runs")).scalar_one() == 2
    assert [claim(alice, joined).unit for _ in opened] == opened


def test_units_that_open_while_another_stands_before_them_are_found(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    joined = join(alice)
    expected = classroom.open_units(1)
    with open_transaction(classroom.owner) as one:
        new = [units.NewUnit(epoch=0, first_sample=0, num_samples=10, seed=0)]
        expected += units.open_units(one, run=classroom.run, units=new)
        with classroom.owner.begin() as other:
            runs.raise_claim_floor(other, run=classroom.run)
        one.commit()
    assert [claim(alice, joined).unit for _ in expected] == expected


def test_a_unit_below_the_floor_is_found(classroom: Classroom) -> None:
    """The floor is a hint: here it was raised past a unit that a volunteer's transaction was holding."""
    alice, bob = classroom.invite("alice"), classroom.invite("bob")
    joined, bobs = join(alice), join(bob)
    first, second = classroom.open_units(2)
    lease = claim(alice, joined)
    with classroom.owner.begin() as owner:
        runs.raise_claim_floor(owner, run=classroom.run)
        assert owner.execute(text("SELECT claim_floor FROM ledger.runs")).scalar_one() == 1
    with alice.begin() as conn:
        ledger.release(conn, lease=lease, reason="closing the lid")
    assert [claim(bob, bobs).unit, claim(bob, bobs).unit] == [second, first]


def test_only_one_of_two_coordinators_leads(classroom: Classroom) -> None:
    one_id, other_id = uuid.uuid4(), uuid.uuid4()
    with (
        open_transaction(classroom.owner) as one,
        open_transaction(classroom.owner) as other,
        classroom.owner.connect() as watcher,
    ):
        assert lead(one, classroom, one_id) == 1
        with blocked(watcher, other, lambda: lead(other, classroom, other_id)) as elected:
            one.commit()
            assert elected.result() is None
        other.commit()
        assert lead(one, classroom, one_id) == 1, "its lease is renewed, its term stays"


def test_a_second_coordinator_leads_when_the_first_vanished_while_electing_itself(classroom: Classroom) -> None:
    with (
        open_transaction(classroom.owner) as one,
        open_transaction(classroom.owner) as other,
        classroom.owner.connect() as watcher,
    ):
        lead(one, classroom, uuid.uuid4())
        with blocked(watcher, other, lambda: lead(other, classroom, uuid.uuid4())) as elected:
            one.rollback()
            assert elected.result() == 1
        other.commit()


def test_a_lapsed_lead_is_taken_over_once_and_the_term_grows(classroom: Classroom) -> None:
    first, second, third = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    with classroom.owner.begin() as conn:
        lead(conn, classroom, first)
    with classroom.owner.begin() as conn:
        conn.execute(text("UPDATE ledger.leaders SET expires_at = now() - interval '1 second'"))
    with (
        open_transaction(classroom.owner) as one,
        open_transaction(classroom.owner) as other,
        classroom.owner.connect() as watcher,
    ):
        assert lead(one, classroom, second) == 2
        with blocked(watcher, other, lambda: lead(other, classroom, third)) as elected:
            one.commit()
            assert elected.result() is None
        other.commit()
        assert lead(one, classroom, first) is None, "who was overtaken does not lead any more"


def test_a_term_is_never_given_twice(classroom: Classroom) -> None:
    first, second = uuid.uuid4(), uuid.uuid4()
    with classroom.owner.begin() as conn:
        assert lead(conn, classroom, first) == 1
        runs.yield_lead(conn, run=classroom.run, holder=first)
        assert lead(conn, classroom, second) == 2
        runs.yield_lead(conn, run=classroom.run, holder=first)
        assert lead(conn, classroom, first) is None, "only the leader can yield"


def test_a_version_is_published_once(classroom: Classroom) -> None:
    new = versions.NewVersion(number=Version(1), parent=Version(0), manifest="{}", optimizer_step=1, parts=[b"weights"])
    with (
        open_transaction(classroom.owner) as one,
        open_transaction(classroom.owner) as other,
        classroom.owner.connect() as watcher,
    ):
        versions.publish_version(one, run=classroom.run, new=new)
        with blocked(watcher, other, lambda: versions.publish_version(other, run=classroom.run, new=new)) as published:
            one.commit()
            with pytest.raises(LeadershipLost, match="version 1 was published by another coordinator"):
                published.result()


def test_two_coordinators_merge_a_gradient_once(desk: Desk) -> None:
    with desk.alice.begin() as conn:
        gradient = submit(conn, desk)

    def merge(conn: Connection, version: int) -> None:
        gradients.mark_merged(conn, run=desk.room.run, version=Version(version), gradients=[gradient], weights=[1.0])

    with (
        open_transaction(desk.room.owner) as one,
        open_transaction(desk.room.owner) as other,
        desk.room.owner.connect() as watcher,
    ):
        merge(one, 1)
        with blocked(watcher, other, lambda: merge(other, 2)) as merged:
            one.commit()
            with pytest.raises(IllegalTransition, match="do not wait"):
                merged.result()


def submit(conn: Connection, desk: Desk) -> GradientId:
    return ledger.submit(conn, lease=desk.lease, submission=submission(), last_part=GRADIENT)


def lead(conn: Connection, room: Classroom, holder: uuid.UUID) -> int | None:
    return runs.lead(conn, run=room.run, holder=holder, host="host", lease_seconds=30)
