"""Where a run stands, as the owner and as a volunteer see it."""

from __future__ import annotations

import datetime
import io
import json
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from sqlalchemy import Engine, text

from contract.ids import Version, WorkerId
from contract.states import RunState
from coordinator import leaderboard, run_status
from coordinator.exporting import export
from coordinator.following import Log
from coordinator.ledger import gradients, runs, sharing, versions, views, watching
from coordinator.run_status import Status
from tests.integration.classroom import GRADIENT, PASSWORD, Classroom, claim, classroom, join, submission
from tests.integration.observers import observer
from tests.project import Project
from tests.servers.server import Login
from worker import ledger

__all__ = ["classroom", "observer"]


def status(engine: Engine, push_interval: int | None = None) -> Status:
    with engine.begin() as conn:
        return run_status.read_status(conn, run="class", push_interval=push_interval)


def shown(engine: Engine, encoding: str = "utf-8") -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    run_status.show(status(engine), Console(file=file, width=100))
    file.seek(0)
    return file.read()


def wrong(engine: Engine) -> list[str]:
    return [ailment.what for ailment in status(engine).ailments]


def merged(room: Classroom) -> Engine:
    """A gradient of alice's made version 1; she is here."""
    alice = room.invite("alice")
    room.open_units(2)
    lease = claim(alice, join(alice))
    with alice.begin() as conn:
        ledger.submit(conn, lease=lease, submission=submission(), last_part=GRADIENT)
    with room.owner.begin() as conn:
        new = versions.NewVersion(
            number=Version(1), parent=Version(0), manifest="{}", optimizer_step=1, parts=[b"weights"]
        )
        versions.publish_version(conn, run=room.run, new=new)
        versions.record_metrics(
            conn, run=room.run, version=Version(1), metrics={"loss": 0.5, "held_out/accuracy": 0.25}
        )
        (gradient,) = gradients.waiting_gradients(conn, run=room.run)
        gradients.mark_merged(conn, run=room.run, version=Version(1), gradients=[gradient.gradient], weights=[1.0])
    return alice


def test_a_fresh_run_says_what_it_waits_for(classroom: Classroom) -> None:
    said = shown(classroom.owner)
    assert "class: none, async, running" in said
    assert "nothing was measured yet" in said
    assert wrong(classroom.owner) == [
        "no coordinator leads the run; nothing is handed out or merged, workers wait", "no worker is here",
    ]  # fmt: skip


def test_anybody_sees_who_is_here_what_was_measured_and_merged(classroom: Classroom) -> None:
    alice = merged(classroom)
    for engine in (classroom.owner, alice):
        seen = status(engine)
        assert [worker.volunteer for worker in seen.workers] == ["alice"]
        assert {loss.name: loss.value for loss in seen.losses} == {"loss": 0.5, "held_out/accuracy": 0.25}
        assert (seen.progress.num_merged, seen.progress.num_samples_merged) == (1, 10)
    assert "1 here: alice" in shown(alice)


def test_an_observer_sees_all_of_it(classroom: Classroom, observer: Engine, tmp_path: Path) -> None:
    merged(classroom)
    assert [worker.volunteer for worker in status(observer).workers] == ["alice"]
    with observer.begin() as conn:
        assert [worker.person for worker in watching.look_at(conn, run="class").workers] == ["alice"]
        assert [place.volunteer for place in views.leaderboard(conn, run="class")] == ["alice"]
        assert [event.new_state for event in Log(run="class").open(conn, limit=9)] == ["running", "joined"]
    assert [made.num_rows for made in export(observer, run="class", folder=tmp_path)] == [1, 2, 2]


def test_a_pause_is_no_mystery(classroom: Classroom) -> None:
    with classroom.owner.begin() as conn:
        runs.pause(conn, run=classroom.run, reason="lunch")
    assert wrong(classroom.owner)[0] == "the run rests, nothing is handed out or merged: lunch"


def test_the_last_push_is_told(classroom: Classroom) -> None:
    assert status(classroom.owner).last_push is None
    with classroom.owner.begin() as conn:
        for version in (0, 1):
            sharing.record_push(
                conn, run=classroom.run, version=Version(version), repository="ada/model", commit="c0ffee",
                url="https://hub/ada",
            )  # fmt: skip
    last = status(classroom.owner).last_push
    assert last is not None
    assert last.version == 1
    assert "version 1, 0 s ago: https://hub/ada" in shown(classroom.owner)


def test_a_unit_whose_worker_left_is_at_a_standstill(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    classroom.open_units(1)
    joined = join(alice)
    claim(alice, joined)
    with classroom.owner.begin() as conn:
        conn.execute(text("UPDATE ledger.heartbeats SET at = at - interval '1 hour'"))
    assert any("1 unit at a standstill, because its worker is silent" in line for line in wrong(alice))


def hush(room: Classroom, worker: WorkerId, minutes: int = 5) -> None:
    with room.owner.begin() as conn:
        conn.execute(
            text("UPDATE ledger.heartbeats SET at = at - make_interval(mins => :minutes) WHERE worker_id = :worker"),
            {"minutes": minutes, "worker": worker},
        )


def test_who_is_silent_is_named_to_everybody(classroom: Classroom, observer: Engine) -> None:
    alice, bob = classroom.invite("alice"), classroom.invite("bob")
    join(alice)
    hush(classroom, join(bob).worker)
    for engine in (classroom.owner, alice, observer):
        assert "1 here: alice; silent: bob (laptop) for 5 min" in shown(engine)
        told = json.loads(run_status.as_json(status(engine)))
        assert [worker["volunteer"] for worker in told["workers"]] == ["alice"]
        assert [worker["volunteer"] for worker in told["silent"]] == ["bob"]


def test_with_nobody_here_the_last_to_fall_silent_comes_first(classroom: Classroom) -> None:
    for minutes, name in ((7, "alice"), (2, "bob")):
        hush(classroom, join(classroom.invite(name), name).worker, minutes)
    assert "nobody is here; silent: bob for 2 min, alice for 7 min" in shown(classroom.owner)


def test_who_left_or_came_again_is_not_silent(classroom: Classroom) -> None:
    alice, bob = classroom.invite("alice"), classroom.invite("bob")
    crashed, gone = join(alice).worker, join(bob).worker
    join(alice)
    with bob.begin() as conn:
        ledger.leave(conn, worker=gone, reason="home")
    for worker in (crashed, gone):
        hush(classroom, worker)
    assert status(classroom.owner).silent == []


def test_json_is_whole_and_its_times_have_their_offset(classroom: Classroom) -> None:
    merged(classroom)
    told = json.loads(run_status.as_json(status(classroom.owner)))
    assert datetime.datetime.fromisoformat(told["at"]).tzinfo is not None
    assert (told["progress"]["state"], told["leading"]["is_leading"]) == (RunState.RUNNING, False)
    assert [ailment["what"] for ailment in told["ailments"]] == wrong(classroom.owner)
    assert "curves" not in told


def test_a_loss_that_was_no_number_is_null_for_programs_and_told_to_people(classroom: Classroom) -> None:
    merged(classroom)
    with classroom.owner.begin() as conn:
        versions.record_metrics(conn, run=classroom.run, version=Version(1), metrics={"loss_d": float("nan")})
    told = json.loads(run_status.as_json(status(classroom.owner)), parse_constant=pytest.fail)
    assert {loss["name"]: loss["value"] for loss in told["losses"]}["loss_d"] is None
    assert "nan" in shown(classroom.owner)


def test_a_terminal_without_our_letters_gets_the_numbers(classroom: Classroom) -> None:
    merged(classroom)
    said = shown(classroom.owner, encoding="cp1252")
    assert "0.5" in said
    assert "▁" not in said


def test_the_commands_take_a_volunteers_file(classroom: Classroom, tmp_path: Path) -> None:
    merged(classroom)
    project = Project(folder=tmp_path, database=classroom.database)
    login = Login(role=classroom.database.role_name("alice"), password=PASSWORD)
    url = (
        classroom.database.url(login)
        .set(drivername="postgresql")
        .render_as_string(hide_password=False)
        .replace(" ", "%20")
    )
    file = tmp_path / "alice.yaml"
    file.write_text(yaml.safe_dump({"database": {"embedded": False, "url": url}, "run": {"name": "class"}}), "utf-8")
    for command in ("status", "leaderboard", "events"):
        done = project.run(command, "--config", "alice.yaml", "--json")
        assert (done.code, done.err) == (0, ""), command
        assert json.loads(done.out.splitlines()[0] if command == "events" else done.out)
        assert "alice" in project.run(command, "--config", "alice.yaml").out


@pytest.mark.parametrize("command", ["status", "leaderboard", "events"])
def test_a_run_that_is_not_there_is_told(classroom: Classroom, tmp_path: Path, command: str) -> None:
    project = Project(folder=tmp_path, database=classroom.database)
    project.write_config()
    refused = project.run(command, "--name", "other")
    assert (refused.code, refused.out) == (4, "")
    assert "there is no run named 'other' in this ledger, only class" in refused.err


def test_the_leaderboard_lists_everybody_by_what_moved_the_model(classroom: Classroom) -> None:
    merged(classroom)
    join(classroom.invite("bob"))
    with classroom.owner.begin() as conn:
        places = views.leaderboard(conn, run="class")
    file = io.StringIO()
    leaderboard.show(places, Console(file=file, width=80))
    first, second = file.getvalue().splitlines()[1:]
    assert first.split() == ["1", "alice", "10", "100.0%", "1", "0", "s", "100.0%", "here"]
    assert second.split() == ["2", "bob", "0", "0.0%", "0", "0", "s", "here"]
    assert [place["volunteer"] for place in json.loads(leaderboard.as_json(places))] == ["alice", "bob"]


def test_an_empty_leaderboard_says_what_it_waits_for() -> None:
    file = io.StringIO()
    leaderboard.show([], Console(file=file))
    assert "worker join" in file.getvalue()
