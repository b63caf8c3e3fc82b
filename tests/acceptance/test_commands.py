"""What an instructor does with runs from a second terminal, and training without a ledger; real processes."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file
from sqlalchemy import Engine, text

from tests.acceptance.test_training import TINY, head, owner, project, running, state, two_workers
from tests.project import Project
from tests.servers.databases import Database
from tests.waiting import wait_until

__all__ = ["owner", "project"]


def run_of(project: Project, name: str) -> dict[str, object]:
    listed = project.run("runs", "--json")
    assert listed.code == 0, listed.err
    (found,) = [run for run in json.loads(listed.out) if run["name"] == name]
    return dict(found)


@contextlib.contextmanager
def leading(project: Project, owner: Engine, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    leads = text("SELECT count(*) FROM ledger.leaders WHERE expires_at > clock_timestamp()")
    with running(project, "start", *arguments) as process, owner.connect() as conn:
        wait_until(lambda: conn.execute(leads).scalar_one() == 1, within_seconds=60, what="a leading coordinator")
        yield process


def ended(process: subprocess.Popen[str]) -> str:
    """What it said, when it has ended as it should."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    return out


def wait_for_word(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    assert any(word in line for line in process.stdout), f"it ended without saying: {word}"


def holds_a_unit(owner: Engine) -> bool:
    with owner.connect() as conn:
        return bool(conn.execute(text("SELECT count(*) FROM ledger.work_units WHERE state = 'leased'")).scalar_one())


@pytest.mark.timeout(600)
def test_a_run_is_paused_resumed_stopped_finished_and_extended(project: Project, owner: Engine) -> None:
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(leading(project, owner))
        stack.enter_context(two_workers(project))
        wait_until(lambda: head(owner, "default") >= 2, within_seconds=60, what="version 2")

        assert "is paused" in project.run("pause").out
        wait_for_word(first, "the run is paused")
        # What was being computed is handed in, and then nobody has anything.
        wait_until(lambda: not holds_a_unit(owner), within_seconds=30, what="empty hands")
        paused_at = head(owner, "default")
        assert run_of(project, "default")["num_workers"] == 2
        assert (head(owner, "default"), state(owner, "default")) == (paused_at, "paused")

        assert "goes on" in project.run("resume").out
        wait_until(lambda: head(owner, "default") >= paused_at + 2, within_seconds=60, what="two more versions")

        stopped = project.run("stop")
        assert (stopped.code, "has ended" in stopped.out) == (0, True), stopped.out
        said = ended(first)
        assert said.index("the run goes on") < said.index("asked by `coordinator stop`")
        assert (state(owner, "default"), run_of(project, "default")["led_from"]) == ("running", None)

        second = stack.enter_context(leading(project, owner))
        wait_until(lambda: state(owner, "default") == "finished", within_seconds=100, what="the end of the run")
        assert "`coordinator start`" not in ended(second).splitlines()[-1]

    again = project.run("start")
    assert (again.code, "is finished: version 30 after 1 epoch." in again.out) == (0, True), again.out
    assert "coordinator start --epochs 2" in again.out
    assert (state(owner, "default"), run_of(project, "default")["epochs_done"]) == ("finished", 1.0)

    with leading(project, owner, "--epochs", "2") as third, two_workers(project):
        wait_until(lambda: head(owner, "default") > 31, within_seconds=60, what="a version of the second epoch")
        project.run("stop")
        ended(third)


def test_a_paused_run_stays_paused_when_a_coordinator_starts(project: Project, owner: Engine) -> None:
    with leading(project, owner) as first:
        wait_until(lambda: state(owner, "default") == "running", within_seconds=30, what="the run")
        project.run("pause")
        project.run("stop")
        ended(first)
    with leading(project, owner) as second:
        project.run("stop")
        assert "it is paused at version 0" in ended(second)
    assert state(owner, "default") == "paused"


def test_ctrl_c_ends_a_standby_alone(project: Project, owner: Engine) -> None:
    with leading(project, owner) as first, running(project, "start") as second:
        wait_for_word(second, "stands by")
        second.send_signal(signal.SIGINT)
        assert "leads" not in ended(second)
        assert first.poll() is None
        assert run_of(project, "default")["led_from"]


def test_stop_ends_the_standby_too(project: Project, owner: Engine) -> None:
    with leading(project, owner) as first, running(project, "start") as second:
        wait_for_word(second, "stands by")
        project.run("stop")
        ended(first)
        ended(second)


@pytest.mark.timeout(600)
def test_runs_of_two_workloads_share_a_database(project: Project, owner: Engine) -> None:
    text_run = (
        "--set", "run.name=words", "--set", "model.name=tiny_lstm",
        "--set", "model.options={context: 8, embedding_features: 8, hidden_features: 8}",
        "--set", "data.name=stdlib", "--set", "data.num_samples=768", "--set", "training.mode=async",
    )  # fmt: skip
    with (
        running(project, "start", "--set", "data.num_samples=768") as pictures,
        running(project, "start", *text_run) as words,
    ):
        for run in ("default", "words"):
            wait_until(lambda run=run: state(owner, run) == "running", within_seconds=60, what=run)
        bob = ("join", "--config", "invitations/bob.yaml", "--set", "run.name=words")
        with (
            running(project, "join", "--config", "invitations/ada.yaml", program="worker"),
            running(project, *bob, program="worker"),
        ):
            for run in ("default", "words"):
                wait_until(
                    lambda run=run: state(owner, run) == "finished", within_seconds=100, what=f"the end of {run}"
                )
        ended(pictures)
        ended(words)
    table = project.run("runs").out.splitlines()
    assert sorted(line.split()[:2] for line in table[1:]) == [["default", "finished"], ["words", "finished"]]
    with owner.connect() as conn:
        mixed = """
            SELECT count(*) FROM ledger.gradients g JOIN ledger.workers w ON w.id = g.worker_id
             WHERE w.run_id <> g.run_id OR NOT EXISTS (
                SELECT FROM ledger.work_units u WHERE u.id = g.unit_id AND u.run_id = g.run_id)"""
        assert conn.execute(text(mixed)).scalar_one() == 0


def test_a_run_is_forked_and_led(project: Project, owner: Engine) -> None:
    with leading(project, owner) as first:
        wait_until(lambda: state(owner, "default") == "running", within_seconds=30, what="the run")
        project.run("stop")
        ended(first)
    forked = project.run("fork", "--from", "default@0", "--name", "other", "--set", "training.batch_size=16")
    assert (forked.code, "coordinator start --set run.name=other" in forked.out) == (0, True), forked.err
    assert project.run("fork", "--from", "default@0", "--name", "other").code == 4
    assert project.run("fork", "--from", "default@x", "--name", "third").code == 2
    with leading(project, owner, "--set", "run.name=other", "--set", "training.batch_size=16") as second:
        project.run("stop", "--name", "other")
        assert "with the weights of default, version 0" in ended(second)


@pytest.fixture
def alone(tmp_path: Path, database: Database) -> Project:
    """A configuration whose database does not exist."""
    made = Project(folder=tmp_path, database=database)
    made.write_config(TINY, port=1)
    return made


def test_a_run_trains_without_a_database(alone: Project) -> None:
    trained = alone.run("train-local", "--updates", "3", "--save", "weights.safetensors")
    assert trained.code == 0, trained.err
    lines = trained.out.splitlines()
    assert ["loss" in line for line in lines] == [False, True, True, True, False, True]
    assert lines[-1].startswith("held out, after update 3:  loss ")
    assert {name: tuple(tensor.shape) for name, tensor in load_file(alone.folder / "weights.safetensors").items()} == {
        "1.weight": (32, 256), "1.bias": (32,), "3.weight": (10, 32), "3.bias": (10,),
    }  # fmt: skip


def test_a_run_alone_ends_with_its_epochs(alone: Project) -> None:
    trained = alone.run("train-local", "--set", "data.num_samples=300", "--set", "training.num_epochs=2")
    assert ("5 updates" in trained.out, "update     5 " in trained.out) == (True, True), trained.out


def test_ctrl_c_saves_what_was_trained_alone(alone: Project) -> None:
    with running(alone, "train-local", "--save", "w.safetensors", "--set", "training.num_epochs=100000") as process:
        wait_for_word(process, "update ")
        process.send_signal(signal.SIGINT)
        assert "held out, after update" in ended(process)
    assert load_file(alone.folder / "w.safetensors")


def test_a_place_that_cannot_be_written_is_told_before_the_training(alone: Project) -> None:
    refused = alone.run("train-local", "--save", "no/such/folder/w.safetensors")
    assert (refused.code, "there is no folder" in refused.err, refused.out) == (2, True, "")
