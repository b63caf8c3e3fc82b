"""What ends a lease, what counts as a failure, and when enough is enough."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from contract.errors import (
    AlreadySubmitted,
    IllegalTransition,
    NotFound,
    OverQuota,
)
from contract.ids import GradientId, Version
from coordinator.ledger import gradients
from tests.integration.classroom import claim, classroom, join
from tests.integration.desk import Desk, desk, send_submit
from tests.integration.moving_time import outlast_lease, silence
from worker import ledger

__all__ = ["classroom", "desk"]


def test_a_lease_that_ends_too_often_fails_the_unit(desk: Desk) -> None:
    for num_failures in range(1, 4):
        desk.expire()
        desk.reap()
        assert desk.state() == ("open", num_failures, num_failures)
        assert claim(desk.bob, desk.bobs).attempt == num_failures + 1
    desk.expire()
    desk.reap()
    assert desk.state() == ("failed", 4, 4)
    with desk.bob.begin() as conn:
        assert ledger.claim(conn, worker=desk.bobs.worker) is None


def test_a_lease_that_ended_too_often_is_not_handed_on(desk: Desk) -> None:
    for attempt in range(2, 5):
        desk.expire()
        assert claim(desk.bob, desk.bobs).attempt == attempt
    desk.expire()
    with desk.bob.begin() as conn:
        assert ledger.claim(conn, worker=desk.bobs.worker) is None
    desk.reap()
    assert desk.state() == ("failed", 4, 4)


def test_a_unit_that_every_worker_fails_at_is_failed(desk: Desk) -> None:
    lease = desk.lease
    for num_failures in range(1, 4):
        with desk.alice.begin() as conn:
            ledger.release(conn, lease=lease, reason="out of memory", failed=True)
        assert desk.state() == ("open", num_failures, num_failures)
        lease = claim(desk.alice, desk.joined)
    with desk.alice.begin() as conn:
        ledger.release(conn, lease=lease, reason="out of memory", failed=True)
    assert desk.state() == ("failed", 4, 4)


def test_a_unit_given_back_in_good_order_is_no_failure(desk: Desk) -> None:
    with desk.alice.begin() as conn:
        ledger.release(conn, lease=desk.lease, reason="closing the lid")
    assert desk.state() == ("open", 1, 0)


def test_a_rejected_gradient_opens_its_unit_again(desk: Desk) -> None:
    with desk.alice.begin() as conn:
        gradient = send_submit(conn, desk.lease)
    with desk.room.owner.begin() as conn:
        gradients.reject(conn, gradient=gradient, verdict="its norm is 12 times the median")
    assert desk.state() == ("open", 1, 1)
    desk.refused(desk.alice, desk.lease, send_submit, AlreadySubmitted)
    assert claim(desk.bob, desk.bobs).attempt == 2


def test_a_second_rejection_does_not_touch_the_next_attempt(desk: Desk) -> None:
    with desk.alice.begin() as conn:
        first = send_submit(conn, desk.lease)
    with desk.room.owner.begin() as conn:
        gradients.reject(conn, gradient=first, verdict="too large")
    again = claim(desk.bob, desk.bobs)
    with desk.bob.begin() as conn:
        second = send_submit(conn, again)
    with pytest.raises(IllegalTransition, match="does not wait"), desk.room.owner.begin() as conn:
        gradients.reject(conn, gradient=first, verdict="too large, as I said")
    assert desk.state() == ("submitted", 2, 1)
    assert [waiting.gradient for waiting in desk.waiting()] == [second]


def test_a_gradient_is_merged_once(desk: Desk) -> None:
    with desk.alice.begin() as conn:
        gradient = send_submit(conn, desk.lease)
    with desk.room.owner.begin() as conn:
        gradients.mark_merged(conn, run=desk.room.run, version=Version(1), gradients=[gradient], weights=[1.0])
    assert desk.state() == ("merged", 1, 0)
    for unmerged in ([gradient], [gradient, GradientId(10**6)]):
        with pytest.raises(IllegalTransition, match="do not wait for a merge"), desk.room.owner.begin() as conn:
            gradients.mark_merged(
                conn, run=desk.room.run, version=Version(2), gradients=unmerged, weights=[1.0] * len(unmerged)
            )


def test_a_gradient_named_twice_in_one_merge_is_refused(desk: Desk) -> None:
    with desk.alice.begin() as conn:
        gradient = send_submit(conn, desk.lease)
    with pytest.raises(IllegalTransition), desk.room.owner.begin() as conn:
        gradients.mark_merged(
            conn, run=desk.room.run, version=Version(1), gradients=[gradient, gradient], weights=[1.0, 1.0]
        )
    assert len(desk.waiting()) == 1


def test_ten_failures_in_a_row_send_a_worker_away(desk: Desk) -> None:
    desk.be_patient()
    kept = [claim(desk.alice, desk.joined) for _ in desk.room.open_units(2)]
    lease = desk.lease
    for _ in range(9):
        with desk.alice.begin() as conn:
            ledger.release(conn, lease=lease, reason="CUDA error", failed=True)
        lease = claim(desk.alice, desk.joined)
    with desk.alice.begin() as conn:
        ledger.release(conn, lease=lease, reason="CUDA error", failed=True)
    with pytest.raises(NotFound, match="ten units in a row failed"):
        claim(desk.alice, desk.joined)
    with desk.room.owner.begin() as conn:
        states = conn.execute(
            text("SELECT state FROM ledger.work_units WHERE id = ANY (:units)"), {"units": [each.unit for each in kept]}
        ).scalars()
        assert list(states) == ["open", "open"], "what it still held is free at once"
        left = conn.execute(text("SELECT count(*) FROM watch.events WHERE new_state = 'left'")).scalar_one()
        assert left == 1
    with pytest.raises(OverQuota, match="wait five minutes"):
        join(desk.alice)
    with desk.room.owner.begin() as conn:
        conn.execute(text("UPDATE ledger.workers SET last_failure_at = last_failure_at - interval '5 minutes'"))
    join(desk.alice)


def test_a_success_in_between_forgives_the_failures(desk: Desk) -> None:
    desk.be_patient()
    desk.room.open_units(1)
    lease = desk.lease
    for _ in range(9):
        with desk.alice.begin() as conn:
            ledger.release(conn, lease=lease, reason="CUDA error", failed=True)
        lease = claim(desk.alice, desk.joined)
    with desk.alice.begin() as conn:
        send_submit(conn, lease)
    lease = claim(desk.alice, desk.joined)
    with desk.alice.begin() as conn:
        ledger.release(conn, lease=lease, reason="CUDA error", failed=True)
    claim(desk.alice, desk.joined)


def test_reaping_waits_for_the_last_heartbeat_and_not_for_ever(desk: Desk) -> None:
    desk.expire()
    beat(desk)
    desk.reap()
    assert desk.state() == ("leased", 1, 0)
    with desk.room.owner.begin() as conn:
        outlast_lease(conn, desk.lease.unit)
    desk.reap()
    assert desk.state() == ("open", 1, 1)


def test_a_silent_worker_is_reaped(desk: Desk) -> None:
    desk.expire()
    beat(desk)
    with desk.room.owner.begin() as conn:
        silence(conn, desk.joined.worker)
    desk.reap()
    assert desk.state() == ("open", 1, 1)


def beat(desk: Desk) -> ledger.Directives:
    with desk.alice.begin() as conn:
        return ledger.heartbeat(conn, worker=desk.joined.worker, leases=[desk.lease], phase="computing")
