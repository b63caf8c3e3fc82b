"""pause, resume and stop: what the ledger does with them, and what a coordinator hears of them."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from contract.database import Notifications
from contract.errors import IllegalTransition, NameTaken, NotFound
from contract.states import RunState
from coordinator import steering
from coordinator.leadership import Leadership
from coordinator.ledger import runs
from coordinator.loop import Loop, Turn
from tests.integration.classroom import GRADIENT, Classroom, claim, classroom, join, new_run, submission
from tests.waiting import wait_until
from worker import ledger

__all__ = ["classroom"]


def state_of(room: Classroom) -> RunState:
    with room.owner.connect() as conn:
        return runs.read_run(conn, name="class").state


def finish(room: Classroom) -> None:
    with room.owner.begin() as conn:
        runs.set_run_state(conn, run=room.run, state=RunState.FINISHED)


def test_a_paused_run_hands_nothing_out_until_it_is_resumed(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    joined = join(alice)
    classroom.open_units(1)
    steering.pause(classroom.owner, "class")
    with alice.begin() as conn:
        assert ledger.claim(conn, worker=joined.worker) is None
    steering.resume(classroom.owner, "class")
    assert claim(alice, joined)


def test_work_in_hand_is_taken_while_the_run_is_paused(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    joined = join(alice)
    classroom.open_units(1)
    lease = claim(alice, joined)
    steering.pause(classroom.owner, "class")
    with alice.begin() as conn:
        assert ledger.submit(conn, lease=lease, submission=submission(), last_part=GRADIENT)


def test_a_worker_hears_of_the_pause(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    steering.pause(classroom.owner, "class")
    joined = join(alice)
    assert joined.run_state is RunState.PAUSED
    with alice.begin() as conn:
        heard = ledger.heartbeat(conn, worker=joined.worker, leases=[], phase="waiting")
    assert heard.run_state is RunState.PAUSED


def test_a_second_pause_or_resume_says_so(classroom: Classroom) -> None:
    assert "running already" in steering.resume(classroom.owner, "class")
    steering.pause(classroom.owner, "class")
    assert "paused already" in steering.pause(classroom.owner, "class")


@pytest.mark.parametrize("command", [steering.pause, steering.resume])
def test_a_finished_run_is_neither_paused_nor_opened_again(classroom: Classroom, command: object) -> None:
    finish(classroom)
    with pytest.raises(IllegalTransition, match="run class is finished"):
        command(classroom.owner, "class")  # type: ignore[operator]
    assert state_of(classroom) is RunState.FINISHED


@pytest.mark.parametrize("command", [steering.pause, steering.resume])
def test_a_run_that_is_not_there_is_named(classroom: Classroom, command: object) -> None:
    with pytest.raises(NotFound, match="no run named 'clas'"):
        command(classroom.owner, "clas")  # type: ignore[operator]


def test_the_log_tells_of_the_pause(classroom: Classroom) -> None:
    steering.pause(classroom.owner, "class")
    steering.resume(classroom.owner, "class")
    with classroom.owner.connect() as conn:
        told = conn.execute(text("SELECT new_state, reason FROM ledger.events WHERE subject = 'run' ORDER BY id"))
        assert told.all()[1:] == [("paused", "paused by the instructor"), ("running", "resumed by the instructor")]


def test_stop_ends_those_who_lead_or_stand_by_and_nobody_who_comes_later(classroom: Classroom) -> None:
    first, second = (Leadership(engine=classroom.owner, run=classroom.run) for _ in range(2))
    assert (first.hold(), second.hold()) == (True, False)
    with classroom.owner.begin() as conn:
        runs.ask_to_stop(conn, run=classroom.run)
    first.hold()
    second.hold()
    assert (first.is_over, second.is_over) == (True, True)
    first.give_up()
    third = Leadership(engine=classroom.owner, run=classroom.run)
    assert (third.hold(), third.is_over) == (True, False)
    assert state_of(classroom) is RunState.RUNNING


def test_stop_where_nobody_leads_says_so(classroom: Classroom) -> None:
    assert "no coordinator leads run class" in steering.stop(classroom.owner, "class", patience_seconds=0)


def test_stop_does_not_wait_for_ever(classroom: Classroom) -> None:
    assert Leadership(engine=classroom.owner, run=classroom.run).hold()
    assert "will after its present turn" in steering.stop(classroom.owner, "class", patience_seconds=0)


@dataclasses.dataclass(slots=True)
class Count:
    """A duty that tells how often it had its turn."""

    turns: int = 0

    def run_once(self) -> None:
        self.turns += 1


def test_a_paused_coordinator_rests_and_wakes_at_once(classroom: Classroom) -> None:
    merge, reap = Count(), Count()
    heard: list[object] = []
    leadership = Leadership(engine=classroom.owner, run=classroom.run, state=RunState.RUNNING)
    loop = Loop(
        leadership=leadership,
        turns=[
            Turn(duty=merge, every_seconds=3600, on_hint=True, rests=True),
            Turn(duty=reap, every_seconds=0.01),
        ],
        notifications=Notifications(classroom.owner),
        stop=threading.Event(),
        report=heard.append,
        is_over=lambda: leadership.is_over,
        on_new_term=lambda: None,
    )
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(loop.run)
        try:
            wait_until(lambda: merge.turns == 1)
            steering.pause(classroom.owner, "class")
            wait_until(lambda: RunState.PAUSED in heard)
            before = reap.turns
            with classroom.owner.begin() as conn:
                conn.execute(text("NOTIFY barnraise, 'a hint'"))
            wait_until(lambda: reap.turns > before + 5)
            assert merge.turns == 1
            steering.resume(classroom.owner, "class")
            wait_until(lambda: merge.turns > 1)
            assert steering.stop(classroom.owner, "class", patience_seconds=0)
            running.result(timeout=10)
        finally:
            loop.stop.set()
    assert [said for said in heard if said is not None] == [RunState.PAUSED, RunState.RUNNING]


def test_a_finished_run_can_be_given_more_epochs_and_never_fewer(classroom: Classroom) -> None:
    with classroom.owner.begin() as conn:
        run = runs.create_run(conn, dataclasses.replace(new_run("other"), training={"num_epochs": 5}))
        assert runs.extend(conn, run=run, num_epochs=8)
        assert not runs.extend(conn, run=run, num_epochs=8)
        assert not runs.extend(conn, run=run, num_epochs=3)
        assert runs.read_run(conn, name="other").training == {"num_epochs": 8}


def test_two_runs_cannot_have_one_name(classroom: Classroom) -> None:
    with pytest.raises(NameTaken, match="a run named 'class' already"), classroom.owner.begin() as conn:
        runs.create_run(conn, new_run())
