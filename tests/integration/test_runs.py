"""What `coordinator runs` tells of a ledger, and `coordinator start` of its own run."""

from __future__ import annotations

import dataclasses
import datetime
import io
import json

from rich.console import Console

from contract.ids import Version
from coordinator import run_list
from coordinator.greeting import Greeting, address_of
from coordinator.leadership import Leadership
from coordinator.ledger import people, runs
from coordinator.ledger.overview import RunLine, overview
from tests.integration.classroom import Classroom, classroom, join, new_run

__all__ = ["classroom"]


def only(room: Classroom, name: str = "class") -> RunLine:
    with room.owner.connect() as conn:
        (line,) = overview(conn, name=name)
    return line


def shown(*lines: RunLine, width: int = 160) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    run_list.show(lines, console)
    return console.export_text()


def test_a_run_tells_who_is_there_and_who_leads(classroom: Classroom) -> None:
    assert (only(classroom).num_workers, only(classroom).led_from) == (0, None)
    join(classroom.invite("alice"))
    leadership = Leadership(engine=classroom.owner, run=classroom.run)
    leadership.hold()
    assert only(classroom).num_workers == 1
    assert only(classroom).led_from
    leadership.give_up()
    assert only(classroom).led_from is None


def test_progress_counts_what_was_merged_and_never_more_than_all(classroom: Classroom) -> None:
    settings = """UPDATE ledger.runs SET data = '{"num_samples": 40}', training = '{"num_epochs": 3}'"""
    # What the guard does when a unit is over, without the way there.
    merge = """
        ALTER TABLE ledger.work_units DISABLE TRIGGER USER;
        UPDATE ledger.work_units SET state = 'merged' WHERE position BETWEEN 0 AND 6;
        SELECT ledger.tally_unit_v1(u) FROM ledger.work_units u WHERE position BETWEEN 0 AND 6"""
    classroom.open_units(20)
    with classroom.owner.begin() as conn:
        conn.exec_driver_sql(settings)
        conn.exec_driver_sql(merge)
    assert only(classroom).epochs_done == 1.75
    assert "58.3%" in shown(only(classroom))
    with classroom.owner.begin() as conn:
        conn.exec_driver_sql(merge.replace("0 AND 6", "7 AND 19"))
    assert only(classroom).epochs_done == 3


def test_the_table_says_that_nobody_leads(classroom: Classroom) -> None:
    assert "* no coordinator leads it" in shown(only(classroom))


def test_an_empty_ledger_says_how_to_begin() -> None:
    assert "`coordinator start`" in shown()


def test_a_fork_names_its_parent(classroom: Classroom) -> None:
    with classroom.owner.begin() as conn:
        new = dataclasses.replace(new_run("child"), parent_run=classroom.run, parent_version=Version(12))
        runs.create_run(conn, new)
    assert (only(classroom, "child").parent, only(classroom, "child").parent_version) == ("class", 12)
    assert "child began with version 12 of class" in shown(only(classroom, "child"))


def test_json_holds_all_runs_in_the_order_of_their_making(classroom: Classroom) -> None:
    with classroom.owner.begin() as conn:
        runs.create_run(conn, new_run("another"))
        lines = overview(conn)
    told = json.loads(run_list.as_json(lines))
    assert [line["name"] for line in told] == ["class", "another"]
    assert (told[0]["state"], told[0]["version"], told[1]["version"]) == ("running", 0, None)
    assert datetime.datetime.fromisoformat(told[0]["updated_at"]).tzinfo is not None


def greeting(room: Classroom) -> str:
    with room.owner.connect() as conn:
        said = Greeting(
            line=only(room), roster=people.roster(conn), address="10.0.0.5 port 5432", options=" --config c"
        )
    return "\n".join(said.lines())


def test_the_first_greeting_asks_to_invite(classroom: Classroom) -> None:
    assert "nobody is invited yet" in greeting(classroom)
    assert "coordinator invite --config c NAME..." in greeting(classroom)


def test_a_later_greeting_counts_the_people(classroom: Classroom) -> None:
    join(classroom.invite("alice"))
    classroom.invite("bob")
    assert "10.0.0.5 port 5432; 2 invited, 1 here now" in greeting(classroom)


def test_a_paused_run_says_how_it_goes_on(classroom: Classroom) -> None:
    with classroom.owner.begin() as conn:
        runs.pause(conn, run=classroom.run, reason="a test")
    assert "paused at version 0" in greeting(classroom)
    assert "`coordinator resume --config c` goes on" in greeting(classroom)


def test_an_address_of_this_computer_alone_says_so() -> None:
    assert address_of({"host": "127.0.0.1", "port": 5432}) == "127.0.0.1 port 5432 (this computer only)"
    assert address_of({"host": "10.0.0.5", "port": 5433}) == "10.0.0.5 port 5433"


def test_the_table_fits_a_small_terminal(classroom: Classroom) -> None:
    line = dataclasses.replace(
        only(classroom), workload="small_transformer", source="glyphs", version=Version(1200), samples_per_epoch=10,
        num_epochs=50, samples_merged=33,
    )  # fmt: skip
    assert "running*  async  small_transformer  1200     0        6.6%      " in shown(line, width=80)


def test_a_moment_is_an_hour_today_and_a_date_before() -> None:
    now = datetime.datetime(2026, 11, 21, 9, 30, tzinfo=datetime.UTC)
    assert run_list.moment_of(now - datetime.timedelta(hours=2), now) == "07:30"
    assert run_list.moment_of(now - datetime.timedelta(hours=12), now) == "2026-11-20"
