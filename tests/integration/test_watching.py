from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console
from sqlalchemy import text

from contract.errors import DatabaseUnreachable, NotFound
from contract.ids import Version
from coordinator.duties import finish, merge
from coordinator.ledger import gradients, watching
from coordinator.ledger.watching import Snapshot
from coordinator.reporting import Lines
from coordinator.screen import Screen, shown
from tests.integration.classroom import GRADIENT, Classroom, claim, join, open_classroom, submission
from tests.servers.databases import Database
from tests.waiting import wait_until
from worker import ledger


@pytest.fixture
def classroom(database: Database) -> object:
    with open_classroom(database) as room:
        with room.owner.begin() as conn:
            conn.execute(
                text("""UPDATE ledger.runs SET data = '{"num_samples": 100}', training = '{"num_epochs": 2}'""")
            )
        yield room


def look(room: Classroom) -> Snapshot:
    with room.owner.begin() as conn:
        return watching.look_at(conn, run="class")


def test_a_run_that_nobody_made_is_not_found(classroom: Classroom) -> None:
    with pytest.raises(NotFound, match="no run named 'other'"), classroom.owner.begin() as conn:
        watching.look_at(conn, run="other")


def test_a_fresh_run_has_neither_curves_nor_workers(classroom: Classroom) -> None:
    seen = look(classroom)
    assert (seen.run.head_version, seen.run.num_samples, seen.run.num_epochs) == (0, 100, 2)
    assert (seen.run.num_samples_merged, seen.run.samples_merged_per_second) == (0, None)
    assert (seen.curves, seen.workers) == ((), ())
    assert [event.new_state for event in seen.events] == ["running"]


def test_what_has_landed_and_who_sent_it_is_seen(classroom: Classroom) -> None:
    alice, bob = classroom.invite("alice"), classroom.invite("bob")
    classroom.open_units(3)
    at_alices = join(alice)
    join(bob)
    lease = claim(alice, at_alices)
    assert (look(classroom).run.num_open, look(classroom).run.num_leased) == (2, 1)
    with alice.begin() as conn:
        ledger.submit(conn, lease=lease, submission=submission(), last_part=GRADIENT)
    seen = look(classroom)
    assert (seen.run.num_landed, seen.run.num_wanted, seen.run.num_leased) == (1, 2, 0)
    first, second = seen.workers
    assert (first.person, first.device, first.num_delivered, first.num_merged) == ("alice", "cpu", 1, 0)
    assert first.samples_per_second is not None
    assert (second.person, second.num_delivered, second.samples_per_second) == ("bob", 0, None)
    assert first.is_here
    assert first.is_heard
    assert [event.display_name for event in seen.events if event.subject == "worker"] == ["bob", "alice"]


def test_who_took_part_is_known_when_nobody_is_here_any_more(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    joined = join(alice)
    assert (len(look(classroom).workers), look(classroom).took_part) == (1, ())
    with alice.begin() as conn:
        ledger.leave(conn, worker=joined.worker, reason="home")
    with classroom.owner.begin() as conn:
        conn.execute(text("UPDATE ledger.workers SET joined_at = joined_at - interval '1 hour'"))
        conn.execute(text("UPDATE ledger.workers SET left_at = left_at - interval '1 hour'"))
    assert (look(classroom).workers, look(classroom).took_part) == ((), ("alice",))


def test_in_a_round_only_what_belongs_to_it_has_landed(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    with classroom.owner.begin() as conn:
        conn.execute(text("UPDATE ledger.runs SET mode = 'sync'"))
    classroom.open_units(1, planned_version=Version(0))
    lease = claim(alice, join(alice))
    with alice.begin() as conn:
        ledger.submit(conn, lease=lease, submission=submission(), last_part=GRADIENT)
    assert look(classroom).run.num_landed == 1
    classroom.publish(1)
    assert look(classroom).run.num_landed == 0


def test_a_merged_gradient_counts_and_a_refused_one_is_told(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    classroom.open_units(2)
    joined = join(alice)
    for _ in range(2):
        lease = claim(alice, joined)
        with alice.begin() as conn:
            ledger.submit(conn, lease=lease, submission=submission(), last_part=GRADIENT)
    classroom.publish(1)
    with classroom.owner.begin() as conn:
        good, bad = gradients.waiting_gradients(conn, run=classroom.run)
        gradients.mark_merged(conn, run=classroom.run, version=Version(1), gradients=[good.gradient], weights=[1.0])
        gradients.reject(conn, gradient=bad.gradient, verdict="not finite")
    seen = look(classroom)
    assert (seen.run.num_samples_merged, seen.run.num_units_merged) == (10, 1)
    assert seen.run.samples_merged_per_second is not None
    (worker,) = seen.workers
    assert (worker.num_delivered, worker.num_merged, worker.num_refused) == (2, 1, 1)
    assert (seen.events[0].new_state, seen.events[0].display_name, seen.events[0].reason) == (
        "rejected", "alice", "not finite",
    )  # fmt: skip


def test_who_left_is_seen_for_a_while(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    joined = join(alice)
    with alice.begin() as conn:
        ledger.leave(conn, worker=joined.worker, reason="lunch")
    seen = look(classroom)
    assert [worker.is_here for worker in seen.workers] == [False]
    assert seen.events[0].reason == "lunch"
    with classroom.owner.begin() as conn:
        conn.execute(text("UPDATE ledger.workers SET left_at = left_at - interval '1 hour'"))
    assert look(classroom).workers == ()


def test_a_curve_is_short_however_long_the_run(classroom: Classroom) -> None:
    classroom.publish(1)
    with classroom.owner.begin() as conn:
        conn.execute(
            text("""
                INSERT INTO ledger.metrics (run_id, version, name, value)
                SELECT :run, n, 'loss', 1000 - n FROM generate_series(1, 1000) n"""),
            {"run": classroom.run},
        )
        conn.execute(text("UPDATE ledger.runs SET head_version = 1000"))
        conn.execute(text("UPDATE ledger.metrics SET value = 'NaN' WHERE version = 500"))
    (curve,) = look(classroom).curves
    assert curve.name == "loss"
    assert 100 < len(curve.values) <= 120
    assert list(curve.values) == sorted(curve.values, reverse=True)


def test_all_values_of_a_metric_in_order_but_those_that_are_none(classroom: Classroom) -> None:
    classroom.publish(1, loss=2.0, accuracy=0.5)
    classroom.publish(2, loss=float("nan"))
    classroom.publish(3, loss=1.0)
    with classroom.owner.begin() as conn:
        assert watching.metrics(conn, run=classroom.run) == {"accuracy": [(1, 0.5)], "loss": [(1, 2.0), (3, 1.0)]}


def test_a_pipe_gets_lines(classroom: Classroom) -> None:
    console = Console(file=io.StringIO())
    with shown(console, classroom.owner, run="class", address="here") as view:
        assert isinstance(view, Lines)


def test_a_terminal_gets_the_live_view_and_is_given_back(classroom: Classroom) -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=80, height=24, _environ={"TERM": "xterm"})
    with shown(console, classroom.owner, run="class", address="here port 1") as view:
        assert isinstance(view, Screen)
        assert written.getvalue() == ""
        view.report(merge.Report())
        wait_until(lambda: "here port 1" in written.getvalue(), what="the first picture")
        view.report(DatabaseUnreachable("the cable is out"))
        view.report(finish.Report(reason=finish.EVERY_EPOCH))
        assert view.finished
    assert written.getvalue().count("\x1b[?1049h") == written.getvalue().count("\x1b[?1049l") == 1
    # What only this process knew is still there when the screen is gone.
    assert "the cable is out" in written.getvalue().split("\x1b[?1049l")[1]
    assert all(thread.name != "screen" for thread in threading.enumerate())


def test_plain_means_lines_on_a_terminal_too(classroom: Classroom) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "xterm"})
    with shown(console, classroom.owner, run="class", address="here", plain=True) as view:
        assert isinstance(view, Lines)


def test_what_is_worth_telling_is_found_under_any_amount_of_churn(classroom: Classroom) -> None:
    join(classroom.invite("alice"))
    with classroom.owner.begin() as conn:
        conn.execute(
            text("""
                INSERT INTO ledger.events (run_id, subject, subject_id, old_state, new_state)
                SELECT :run, 'unit', n, 'leased', 'submitted' FROM generate_series(1, 20000) n"""),
            {"run": classroom.run},
        )
    assert [event.new_state for event in look(classroom).events] == ["joined", "running"]


def test_a_terminal_without_our_letters_gets_lines(classroom: Classroom) -> None:
    old = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    console = Console(file=old, force_terminal=True, _environ={"TERM": "xterm"})
    with shown(console, classroom.owner, run="class", address="here") as view:
        assert isinstance(view, Lines)
