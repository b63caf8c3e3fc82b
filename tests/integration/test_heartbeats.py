"""What a heartbeat brings home, and which leases it stretches."""

from __future__ import annotations

import dataclasses

import pytest
from sqlalchemy import Engine, text

from contract.errors import BadArgument, NotFound, OverQuota, RunNotOpen
from contract.ids import UnitId, Version
from contract.states import RunState
from coordinator.duties.reap import Reap
from coordinator.ledger import gradients, runs, units, versions
from tests.integration.classroom import GRADIENT, Classroom, claim, classroom, join, submission
from tests.integration.moving_time import expire_lease, outlast_lease
from worker import ledger
from worker.ledger import Directives, Joined, Lease

__all__ = ["classroom"]


def beat(volunteer: Engine, joined: Joined, *leases: Lease, **said: float) -> Directives:
    with volunteer.begin() as conn:
        return ledger.heartbeat(conn, worker=joined.worker, leases=leases, phase="computing", **said)


def test_a_held_unit_is_neither_lost_nor_cancelled(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    classroom.open_units(1)
    joined = join(alice)
    lease = claim(alice, joined)
    assert beat(alice, joined, lease) == Directives(
        run_state=RunState.RUNNING, head_version=Version(0), lost=frozenset(), cancelled=frozenset()
    )


def test_a_submitted_unit_is_not_called_lost(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    classroom.open_units(1)
    joined = join(alice)
    lease = claim(alice, joined)
    with alice.begin() as conn:
        gradient = ledger.submit(conn, lease=lease, submission=submission(), last_part=GRADIENT)
    assert beat(alice, joined, lease).lost == frozenset()
    with classroom.owner.begin() as conn:
        gradients.mark_merged(conn, run=classroom.run, version=Version(1), gradients=[gradient], weights=[1])
    assert beat(alice, joined, lease).lost == frozenset()


@pytest.mark.parametrize("ending", ["reaped", "released", "taken", "taken by itself", "failed"])
def test_a_lease_that_ended_is_lost(classroom: Classroom, ending: str) -> None:
    alice, bob = classroom.invite("alice"), classroom.invite("bob")
    classroom.open_units(1)
    joined = join(alice)
    lease = claim(alice, joined)
    if ending == "released":
        with alice.begin() as conn:
            ledger.release(conn, lease=lease, reason="closing the lid")
    else:
        with classroom.owner.begin() as conn:
            expire_lease(conn, lease.unit)
            if ending == "failed":
                conn.execute(text("UPDATE ledger.runs SET max_retries = 0"))
        if ending == "taken":
            claim(bob, join(bob))
        elif ending == "taken by itself":
            claim(alice, joined)
        else:
            Reap(engine=classroom.owner, run=classroom.run).run_once()
    assert beat(alice, joined, lease).lost == {lease.unit}


def test_a_unit_of_another_and_one_of_nobody_are_lost(classroom: Classroom) -> None:
    alice, bob = classroom.invite("alice"), classroom.invite("bob")
    classroom.open_units(1)
    bobs = claim(bob, join(bob))
    nobodys = dataclasses.replace(bobs, unit=UnitId(10**6))
    assert beat(alice, join(alice), bobs, nobodys).lost == {bobs.unit, nobodys.unit}


def test_a_cancelled_unit_is_told(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    classroom.open_units(2, planned_version=Version(0))
    joined = join(alice)
    lease = claim(alice, joined)
    with classroom.owner.begin() as conn:
        units.cancel_overtaken(conn, run=classroom.run, version=Version(0), reason="version 1 is out")
    answer = beat(alice, joined, lease)
    assert answer.lost == frozenset()
    assert answer.cancelled == {lease.unit}


def test_the_new_head_is_told(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    joined = join(alice)
    new = versions.NewVersion(number=Version(1), parent=Version(0), manifest="{}", optimizer_step=1, parts=[b"weights"])
    with classroom.owner.begin() as conn:
        versions.publish_version(conn, run=classroom.run, new=new)
    assert beat(alice, joined).head_version == 1


@pytest.mark.parametrize("state", [RunState.PAUSED, RunState.FINISHED, RunState.FAILED])
def test_the_state_of_the_run_is_told_and_hands_out_nothing(classroom: Classroom, state: RunState) -> None:
    alice = classroom.invite("alice")
    classroom.open_units(2)
    joined = join(alice)
    lease = claim(alice, joined)
    with classroom.owner.begin() as conn:
        runs.set_run_state(conn, run=classroom.run, state=state, reason="a test")
    assert beat(alice, joined, lease).run_state is state
    with alice.begin() as conn:
        if state is RunState.PAUSED:
            assert ledger.claim(conn, worker=joined.worker) is None
        else:
            with pytest.raises(RunNotOpen, match=f"the run is {state}"):
                ledger.claim(conn, worker=joined.worker)


def test_a_created_run_can_fail(classroom: Classroom) -> None:
    new = dataclasses.replace(NEW_RUN, name="stillborn")
    with classroom.owner.begin() as conn:
        run = runs.create_run(conn, new)
        runs.set_run_state(conn, run=run, state=RunState.FAILED, reason="no such workload")
        assert runs.find_run(conn, name="stillborn").state is RunState.FAILED


NEW_RUN = runs.NewRun(
    name="class",
    mode="sync",
    workload="none",
    workload_options={},
    data={},
    training={},
    seed=0,
    num_gradients_per_update=1,
)


def test_a_heartbeat_keeps_an_expired_lease_from_others(classroom: Classroom) -> None:
    alice, bob = classroom.invite("alice"), classroom.invite("bob")
    classroom.open_units(1)
    joined, bobs = join(alice), join(bob)
    lease = claim(alice, joined)
    beat(alice, joined, lease)
    with classroom.owner.begin() as conn:
        expire_lease(conn, lease.unit)
    with bob.begin() as conn:
        assert ledger.claim(conn, worker=bobs.worker) is None
    with classroom.owner.begin() as conn:
        outlast_lease(conn, lease.unit)
    assert claim(bob, bobs).unit == lease.unit


def test_a_heartbeat_stretches_only_the_units_it_names(classroom: Classroom) -> None:
    alice, bob = classroom.invite("alice"), classroom.invite("bob")
    classroom.open_units(2)
    joined = join(alice)
    first, second = claim(alice, joined), claim(alice, joined)
    beat(alice, joined, first)
    with classroom.owner.begin() as conn:
        expire_lease(conn, first.unit)
        expire_lease(conn, second.unit)
    assert claim(bob, join(bob)).unit == second.unit


def test_a_heartbeat_does_not_stretch_the_lease_of_another(classroom: Classroom) -> None:
    alice, bob = classroom.invite("alice"), classroom.invite("bob")
    classroom.open_units(1)
    joined, bobs = join(alice), join(bob)
    lease = claim(alice, joined)
    beat(bob, bobs, lease)
    with classroom.owner.begin() as conn:
        expire_lease(conn, lease.unit)
    assert Reap(engine=classroom.owner, run=classroom.run).run_once().reopened == (lease.unit,)


def test_recovered_units_count_against_the_share_too(classroom: Classroom) -> None:
    alice, bob = classroom.invite("alice"), classroom.invite("bob")
    joined, bobs = join(alice), join(bob)
    classroom.open_units(joined.max_leases + 1)
    for _ in range(joined.max_leases):
        claim(alice, joined)
    lost = claim(bob, bobs)
    with classroom.owner.begin() as conn:
        expire_lease(conn, lost.unit)
    with pytest.raises(OverQuota):
        claim(alice, joined)


@pytest.mark.parametrize(
    "said",
    [
        {"progress": -0.1},
        {"progress": 1.1},
        {"progress": float("nan")},
        {"samples_per_second": -1.0},
        {"samples_per_second": float("inf")},
        {"samples_per_second": float("nan")},
    ],
)
def test_numbers_out_of_range_are_refused(classroom: Classroom, said: dict[str, float]) -> None:
    alice = classroom.invite("alice")
    joined = join(alice)
    with pytest.raises(BadArgument):
        beat(alice, joined, **said)


def test_a_heartbeat_for_another_is_refused(classroom: Classroom) -> None:
    alice, bob = classroom.invite("alice"), classroom.invite("bob")
    joined = join(alice)
    with pytest.raises(NotFound):
        beat(bob, joined)
