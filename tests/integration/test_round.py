"""One round of the ledger's life, as two people live it."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
from sqlalchemy import text

from contract.database import Notifications, engine_for
from contract.errors import NotFound, OverQuota
from contract.ids import UnitId, Version
from coordinator.ledger import gradients
from tests.integration.classroom import GRADIENT, Classroom, claim, classroom, join, submission
from worker import ledger

__all__ = ["classroom"]


def test_two_people_claim_different_units(classroom: Classroom) -> None:
    alice, bob = classroom.invite("alice"), classroom.invite("bob")
    first, second = classroom.open_units(2)
    assert claim(alice, join(alice)).unit == first
    assert claim(bob, join(bob)).unit == second


def test_nothing_to_do_is_an_empty_answer(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    joined = join(alice)
    with alice.begin() as conn:
        assert ledger.claim(conn, worker=joined.worker) is None


def test_a_submitted_gradient_waits_for_the_merge_with_its_bytes(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    classroom.open_units(1)
    lease = claim(alice, join(alice))
    with alice.begin() as conn:
        ledger.submit(conn, lease=lease, submission=submission(), last_part=GRADIENT)
    with classroom.owner.begin() as conn:
        (waiting,) = gradients.waiting_gradients(conn, run=classroom.run)
        assert gradients.read_range(conn, gradient=waiting.gradient, part=0, start=0, num_bytes=1000) == GRADIENT
    assert (waiting.unit, waiting.base_version, waiting.losses) == (lease.unit, Version(0), {"loss": 0.5})


def test_a_worker_holds_so_many_units_and_no_more(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    joined = join(alice)
    classroom.open_units(joined.max_leases + 1)
    for _ in range(joined.max_leases):
        claim(alice, joined)
    with pytest.raises(OverQuota):
        claim(alice, joined)


def test_a_unit_of_nobody_is_not_found(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    classroom.open_units(1)
    lease = dataclasses.replace(claim(alice, join(alice)), unit=UnitId(10**6))
    with pytest.raises(NotFound), alice.begin() as conn:
        ledger.release(conn, lease=lease, reason="why not")


def test_a_returned_unit_is_handed_out_before_fresh_ones(classroom: Classroom) -> None:
    alice, bob = classroom.invite("alice"), classroom.invite("bob")
    first, *_ = classroom.open_units(3)
    lease = claim(alice, join(alice))
    with alice.begin() as conn:
        ledger.release(conn, lease=lease, reason="closing the lid")
    assert claim(bob, join(bob)).unit == first


def test_the_log_tells_who_held_a_unit_and_since_when(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    classroom.open_units(1)
    lease = claim(alice, join(alice))
    with alice.begin() as conn:
        ledger.release(conn, lease=lease, reason="closing the lid")
        (event,) = conn.execute(text("SELECT * FROM watch.events WHERE subject = 'unit'")).all()
    assert (event.old_state, event.new_state, event.volunteer, event.reason) == (
        "leased",
        "open",
        "alice",
        "closing the lid",
    )
    assert event.since < event.at


def test_last_submits_that_do_not_see_one_another_still_send_a_hint(classroom: Classroom) -> None:
    alice, bob = classroom.invite("alice"), classroom.invite("bob")
    classroom.open_units(2)
    leases = [claim(volunteer, join(volunteer)) for volunteer in (alice, bob)]
    listener = engine_for(classroom.database.url(), application="listener")
    with contextlib.closing(Notifications(listener)) as notifications:
        # Listens from its first wait on.
        notifications.wait(0)
        with alice.connect() as alices, bob.connect() as bobs:
            for conn, lease in zip((alices, bobs), leases, strict=True):
                ledger.submit(conn, lease=lease, submission=submission(), last_part=GRADIENT)
            alices.commit()
            bobs.commit()
        heard = notifications.wait(10) + notifications.wait(0.5)
    listener.dispose()
    assert f"gradients {classroom.run}" in heard
