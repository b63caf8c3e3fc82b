"""The record to grade from: whole, of one moment, never over another, and nothing left of what failed."""

from __future__ import annotations

import csv
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine

from contract.errors import BarnraiseError, NotFound
from contract.ids import Version
from coordinator.exporting import export
from coordinator.ledger import gradients, people, runs, versions
from tests.integration.classroom import GRADIENT, PASSWORD, Classroom, claim, classroom, join, new_run, submission
from tests.project import Project
from worker import ledger

__all__ = ["classroom"]


def table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def exported(engine: Engine, folder: Path) -> dict[str, list[dict[str, str]]]:
    return {made.file.stem: table(made.file) for made in export(engine, run="class", folder=folder)}


def one_merged_one_refused(room: Classroom) -> Engine:
    """Of alice; and an invitation to zoe, who never came."""
    alice = room.invite("alice")
    with room.owner.begin() as conn:
        people.invite(conn, name="zoe", password=PASSWORD, display_name="=Zoë")
    room.open_units(3)
    joined = join(alice)
    for _ in range(2):
        lease = claim(alice, joined)
        with alice.begin() as conn:
            ledger.submit(conn, lease=lease, submission=submission(), last_part=GRADIENT)
    with room.owner.begin() as conn:
        new = versions.NewVersion(
            number=Version(1), parent=Version(0), manifest="{}", optimizer_step=1, parts=[b"weights"]
        )
        versions.publish_version(conn, run=room.run, new=new)
        versions.record_metrics(conn, run=room.run, version=Version(1), metrics={"loss": -0.5, "accuracy": 0.25})
        good, bad = gradients.waiting_gradients(conn, run=room.run)
        gradients.mark_merged(conn, run=room.run, version=Version(1), gradients=[good.gradient], weights=[1.0])
        gradients.reject(conn, gradient=bad.gradient, verdict="not finite")
    return alice


def test_the_record_says_who_did_what(classroom: Classroom, tmp_path: Path) -> None:
    one_merged_one_refused(classroom)
    tables = exported(classroom.owner, tmp_path / "record")
    alice, zoe = tables["contributions"]
    assert (alice["volunteer"], alice["num_units_merged"], alice["num_samples_merged"]) == ("alice", "1", "10")
    assert (alice["num_units_submitted"], alice["num_refused"], alice["share_accepted"]) == ("2", "1", "0.5")
    assert (alice["sent_bytes"], alice["first_day"]) == (str(2 * len(GRADIENT)), alice["last_day"])
    assert (zoe["volunteer"], zoe["display_name"], zoe["num_samples_merged"]) == ("zoe", "'=Zoë", "0")


def test_units_and_losses_are_there_to_the_last(classroom: Classroom, tmp_path: Path) -> None:
    one_merged_one_refused(classroom)
    tables = exported(classroom.owner, tmp_path / "record")
    states = [(unit["state"], unit["volunteer"], unit["num_samples"]) for unit in tables["units"]]
    assert states == [("merged", "alice", "10"), ("open", "alice", "10"), ("open", "", "10")]
    assert [(loss["version"], loss["name"], loss["value"]) for loss in tables["losses"]] == [
        ("1", "accuracy", "0.25"), ("1", "loss", "-0.5"),
    ]  # fmt: skip


def test_more_units_than_are_read_at_a_time_come_in_their_order(classroom: Classroom, tmp_path: Path) -> None:
    classroom.open_units(12_000)
    numbers = [int(unit["unit"]) for unit in exported(classroom.owner, tmp_path)["units"]]
    assert (len(numbers), numbers) == (12_000, sorted(numbers))


def test_a_volunteers_login_exports_what_the_views_show(classroom: Classroom, tmp_path: Path) -> None:
    alice = one_merged_one_refused(classroom)
    tables = exported(alice, tmp_path)
    assert [line["volunteer"] for line in tables["contributions"]] == ["alice"]
    assert len(tables["units"]) == 3


def test_what_is_there_is_not_replaced(classroom: Classroom, tmp_path: Path) -> None:
    (tmp_path / "losses.csv").write_text("precious", "utf-8")
    with pytest.raises(BarnraiseError, match=r"holds losses\.csv already.*name another folder"):
        export(classroom.owner, run="class", folder=tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["losses.csv"]
    assert (tmp_path / "losses.csv").read_text("utf-8") == "precious"


def test_a_folder_with_other_things_is_as_good_as_a_new_one(classroom: Classroom, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", "utf-8")
    export(classroom.owner, run="class", folder=tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "contributions.csv", "losses.csv", "notes.txt", "units.csv",
    ]  # fmt: skip


def test_of_a_run_that_is_not_there_no_folder_is_left(classroom: Classroom, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        export(classroom.owner, run="other", folder=tmp_path / "record")
    assert not (tmp_path / "record").exists()


def test_a_place_that_is_no_folder_is_told(classroom: Classroom, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(BarnraiseError, match=r"cannot be written: .*nothing was exported"):
        export(classroom.owner, run="class", folder=tmp_path / "file" / "record")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
def test_a_table_that_has_no_room_leaves_nothing_behind(classroom: Classroom, tmp_path: Path) -> None:
    classroom.open_units(2_000)
    project = Project(folder=tmp_path, database=classroom.database)
    project.write_config({"run": {"name": "class"}})
    # A file may grow to 16 kB here; a disk that is full says no in the same place.
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384));"
        "sys.argv = ['coordinator', 'export', '--csv', 'record']; import coordinator.cli; coordinator.cli.run()"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert (done.returncode, os.strerror(errno.EFBIG) in done.stderr, "Traceback" in done.stderr) == (1, True, False)
    assert not (tmp_path / "record").exists()


def test_the_command_says_what_it_made(classroom: Classroom, tmp_path: Path) -> None:
    one_merged_one_refused(classroom)
    project = Project(folder=tmp_path, database=classroom.database)
    project.write_config()
    done = project.run("export", "--csv", "record", "--name", "class")
    assert (done.code, done.err) == (0, "")
    assert [line.split()[1] for line in done.out.splitlines()] == ["2", "3", "2"]
    again = project.run("export", "--csv", "record", "--name", "class")
    assert (again.code, "nothing is replaced" in again.err) == (1, True)


def test_units_of_another_run_are_not_in_it(classroom: Classroom, tmp_path: Path) -> None:
    classroom.open_units(1)
    with classroom.owner.begin() as conn:
        runs.create_run(conn, new_run("other"))
    (units,) = (made for made in export(classroom.owner, run="other", folder=tmp_path) if made.file.stem == "units")
    assert units.num_rows == 0
