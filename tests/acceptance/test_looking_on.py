"""Somebody sits before `coordinator top` and `coordinator events -f` while the network to the database fails."""

from __future__ import annotations

import io
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest

from contract.ids import Version
from coordinator.ledger import runs, samples, versions
from coordinator.pictures import NUM_IMAGES, PICTURE, grid_of
from tests.acceptance.network import Network, network_to
from tests.integration.classroom import Classroom, classroom, join, new_run
from tests.project import Project

pytest.importorskip("pty", reason="Windows has no such terminals", exc_type=ImportError)
from tests.acceptance.terminal import terminal

__all__ = ["classroom"]
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def network(classroom: Classroom) -> Iterator[Network]:
    server = classroom.database.server
    with network_to(server.host, server.port) as opened:
        yield opened


@pytest.fixture
def folder(classroom: Classroom, network: Network, tmp_path: Path) -> Path:
    """Of a project whose way to the database leads through the network."""
    project = Project(folder=tmp_path, database=classroom.database)
    project.write_config({"run": {"name": "class"}}, host="127.0.0.1", port=network.port)
    return tmp_path


def test_top_outlasts_an_outage_and_gives_the_terminal_back(
    classroom: Classroom, network: Network, folder: Path
) -> None:
    alice = classroom.invite("alice")
    with terminal(folder, "top") as screen:
        screen.wait_for("class: none, async")
        screen.wait_for("no coordinator leads it")
        join(alice)
        screen.wait_for("alice joined")
        network.cut()
        screen.wait_for("the ledger has not answered for")
        screen.wait_for("waiting for the database")
        network.heal()
        screen.wait_for("the database answers again")
        screen.wait_for_new("no coordinator leads it")
        screen.press("q")
        assert screen.end() == 0
        screen.wait_for("\x1b[?1049l")
        assert screen.said.count("\x1b[?1049h") == screen.said.count("\x1b[?1049l") == 1
        # What nobody else tells is still there when the screen is gone.
        assert "the database answers again" in screen.said.split("\x1b[?1049l")[1]
        assert "Traceback" not in screen.said
        assert screen.modes == screen.modes_before


def test_the_keys_of_top_turn_to_another_run_and_sort(classroom: Classroom, folder: Path) -> None:
    with classroom.owner.begin() as conn:
        runs.create_run(conn, new_run("empty"))
        words = runs.create_run(conn, new_run("words"))
        first = versions.NewVersion(number=Version(0), parent=None, manifest="{}", optimizer_step=0, parts=[b"weights"])
        versions.publish_version(conn, run=words, new=first)
    with terminal(folder, "top", columns=200, lines=60) as screen:
        screen.wait_for("class: none, async")
        screen.press("s")
        screen.wait_for("sorted by name")
        screen.press("n")
        screen.wait_for("run empty has no model yet")
        screen.press("n")
        screen.wait_for("words: none, async")
        screen.press("n")
        screen.wait_for_new("class: none, async")
        screen.press("\x03")
        assert screen.end() == 0
        screen.wait_for("\x1b[?1049l")
        assert screen.modes == screen.modes_before


def test_top_shows_what_the_model_draws_where_there_is_room(classroom: Classroom, folder: Path) -> None:
    drawn = io.BytesIO()
    grid_of(numpy.full((NUM_IMAGES, 16, 16, 1), 200, dtype=numpy.uint8)).save(drawn, "PNG")
    with classroom.owner.begin() as conn:
        samples.add_sample(conn, run=classroom.run, version=Version(0), media_type=PICTURE, content=drawn.getvalue())
    with terminal(folder, "top", columns=120, lines=40) as large, terminal(folder, "top") as small:
        large.wait_for("what it draws by now")
        small.wait_for("class: none, async")
        assert "what it draws" not in small.said


def test_top_that_is_ended_from_elsewhere_gives_the_terminal_back(classroom: Classroom, folder: Path) -> None:
    with terminal(folder, "top") as screen:
        screen.wait_for("class: none, async")
        screen.press("\x1a")
        screen.press("s")
        screen.wait_for("sorted by name")
        screen.process.send_signal(signal.SIGTERM)
        assert screen.end() == 0
        screen.wait_for("\x1b[?1049l")
        assert screen.modes == screen.modes_before


def test_top_without_a_terminal_says_what_to_use(classroom: Classroom, folder: Path) -> None:
    project = Project(folder=folder, database=classroom.database)
    refused = project.run("top")
    assert (refused.code, refused.out) == (2, "")
    assert "`coordinator status`" in refused.err
    assert "`coordinator events -f`" in refused.err


def test_events_are_followed_through_an_outage_until_ctrl_c(
    classroom: Classroom, network: Network, folder: Path
) -> None:
    with terminal(folder, "events", "--follow") as screen:
        screen.wait_for("the run is running")
        join(classroom.invite("alice"))
        screen.wait_for("alice joined")
        network.cut()
        screen.wait_for("waiting for the database")
        join(classroom.invite("bob"))
        network.heal()
        screen.wait_for("bob joined")
        screen.wait_for("the database answers again")
        screen.press("\x03")
        assert screen.end() == 0
        assert screen.said.count("alice joined") == screen.said.count("bob joined") == 1
        assert "Traceback" not in screen.said


def test_followed_events_are_lines_of_json_for_a_program(classroom: Classroom, folder: Path) -> None:
    project = Project(folder=folder, database=classroom.database)
    following = project.start("events", "-f", "--json", "--all")
    assert following.stdout is not None
    assert json.loads(following.stdout.readline())["new_state"] == "running"
    join(classroom.invite("alice"))
    assert [json.loads(following.stdout.readline())["new_state"] for _ in range(2)] == ["invited", "joined"]
    following.send_signal(signal.SIGINT)
    assert following.wait(timeout=60) == 0
    assert following.communicate()[1] == ""


def test_whoever_reads_the_log_may_stop_reading(classroom: Classroom, folder: Path) -> None:
    project = Project(folder=folder, database=classroom.database)
    following = project.start("events", "-f")
    assert following.stdout is not None
    following.stdout.readline()
    following.stdout.close()
    join(classroom.invite("alice"))
    assert following.wait(timeout=60) == 0
    assert following.stderr is not None
    assert following.stderr.read() == ""
    following.stderr.close()
