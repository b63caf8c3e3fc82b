"""`worker join` and `worker doctor` as their user meets them: real processes, on a real server."""

from __future__ import annotations

import contextlib
import datetime
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psutil
import pytest
import yaml
from sqlalchemy import Engine, create_engine, text

from tests.project import Project
from tests.servers.databases import Database
from tests.unit.source_examples import picture_files, write_files
from tests.waiting import wait_until
from worker.happenings import Delivered, Happening, Resting
from worker.invitation import load_invitation
from worker.staying import Stay

LONG: dict[str, dict[str, object]] = {
    "run": {"seed": 7},
    "model": {"name": "mlp", "options": {"image_size": 12, "hidden_features": 16}},
    "data": {"name": "glyphs", "num_samples": 60000},
    "training": {
        "mode": "async",
        "batch_size": 32,
        "batches_per_work_unit": 2,
        "num_workunits_per_update": 1,
        "num_epochs": 1000,
    },
    "worker": {"heartbeat_interval": 1, "work_unit_timeout": 10, "poll_interval": 0.5},
}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Running:
    """A process whose lines are read as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._streams = [stream for stream in (process.stdout, process.stderr) if stream is not None]
        self._readers = [threading.Thread(target=self._read, args=(stream,), daemon=True) for stream in self._streams]
        for reader in self._readers:
            reader.start()

    def close(self) -> None:
        if self.process.poll() is None:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                child.kill()
            self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for stream in self._streams:
            stream.close()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self.lines.append(line.rstrip("\n"))

    @property
    def text(self) -> str:
        return "\n".join(list(self.lines))

    def says(self, what: str, *, times: int = 1, within_seconds: float = 60) -> None:
        def enough() -> bool:
            assert self.process.poll() is None or self.text.count(what) >= times, self.text
            return self.text.count(what) >= times

        wait_until(enough, within_seconds=within_seconds, what=f"{what!r} in\n{self.text}\n")

    def ends(self, *, within_seconds: float = 60) -> int:
        code = self.process.wait(timeout=within_seconds)
        for reader in self._readers:
            reader.join(timeout=10)
        assert "Traceback" not in self.text, self.text
        return code


@pytest.fixture
def project(tmp_path: Path, database: Database) -> Project:
    made = Project(folder=tmp_path, database=database)
    made.write_config(LONG)
    assert made.run("invite", "ada").code == 0
    return made


@pytest.fixture
def owner(database: Database) -> Iterator[Engine]:
    engine = create_engine(database.url(), isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


@contextlib.contextmanager
def running(project: Project, *arguments: str, program: str = "coordinator") -> Iterator[Running]:
    started = Running(
        project.start(*arguments, program=program, BARNRAISE_HOME=str(project.folder / "home"), **ONE_THREAD)
    )
    try:
        yield started
    finally:
        started.close()


@contextlib.contextmanager
def joining(project: Project, *arguments: str) -> Iterator[Running]:
    with running(
        project, "join", "--config", "invitations/ada.yaml", "--nice", "0", *arguments, program="worker"
    ) as worker:
        yield worker


@pytest.fixture
def coordinator(project: Project, owner: Engine) -> Iterator[Running]:
    with running(project, "start") as started:
        wait_until(
            lambda: rows(owner, "SELECT FROM ledger.runs WHERE state = 'running'"), within_seconds=60, what="run"
        )
        yield started


def rows(owner: Engine, statement: str) -> list[tuple[object, ...]]:
    with owner.connect() as conn:
        return [tuple(row) for row in conn.execute(text(statement))]


def change(project: Project, section: str, **keys: object) -> None:
    file = project.folder / "invitations/ada.yaml"
    content = yaml.safe_load(file.read_text("utf-8"))
    content.setdefault(section, {}).update(keys)
    file.write_text(yaml.safe_dump(content), "utf-8")


@pytest.mark.usefixtures("coordinator")
def test_a_volunteer_sees_what_becomes_of_their_work_and_leaves_with_thanks(project: Project, owner: Engine) -> None:
    with joining(project, "--name", "007", "--threads", "1") as worker:
        worker.says("delivered", times=5)
        wait_until(lambda: "(0 accepted" not in worker.lines[-1], within_seconds=60, what="an accepted unit")
        worker.process.send_signal(signal.SIGINT)
        assert worker.ends() == 0
    said = worker.text
    assert "joined run default as worker 1: mlp on 10 glyphs" in said
    assert "computed on cpu with 1 thread" in said
    assert "leaving; Ctrl-C once more leaves at once" in said
    assert "units computed in" in said and said.endswith("Thank you!")
    assert rows(owner, "SELECT name, left_reason FROM ledger.workers") == [("007", "stopped by its owner")]
    assert rows(owner, "SELECT id FROM ledger.work_units WHERE state = 'leased'") == []
    delivered = rows(owner, "SELECT count(*) FROM ledger.gradients WHERE state IN ('submitted', 'merged')")
    assert delivered == [(said.count(" delivered,"),)]


@pytest.mark.usefixtures("coordinator")
def test_several_processes_are_one_volunteer(project: Project, owner: Engine) -> None:
    with joining(project, "--processes", "2") as worker:
        worker.says("ada-1  unit")
        worker.says("ada-2  unit")
        first, second = psutil.Process(worker.process.pid).children()
        command = " ".join(first.cmdline())
        assert command.endswith("-m worker member"), "a password has no place on a command line"
        first.kill()
        worker.says("this process died (signal 9); it is started again in 1 s")
        worker.says("joined run default", times=3)
        worker.process.send_signal(signal.SIGINT)
        assert worker.ends(within_seconds=100) == 0
        assert not second.is_running()
    reasons = sorted(rows(owner, "SELECT name, left_reason FROM ledger.workers WHERE left_at IS NOT NULL"))
    assert reasons == [("ada-1", "stopped by its owner"), ("ada-2", "stopped by its owner")]
    assert worker.text.endswith("Thank you!")


@pytest.mark.usefixtures("coordinator")
def test_children_leave_when_their_parent_is_gone(project: Project, owner: Engine) -> None:
    with joining(project, "--processes", "2") as worker:
        worker.says("joined run", times=2)
        children = psutil.Process(worker.process.pid).children()
        worker.process.kill()
        gone, alive = psutil.wait_procs(children, timeout=60)
        assert (len(gone), alive) == (2, [])
    left = rows(owner, "SELECT left_reason FROM ledger.workers ORDER BY id")
    assert left == [("stopped by its owner",)] * 2


def test_the_end_of_the_run_is_the_end_of_every_process(project: Project, owner: Engine) -> None:
    sections = {
        **LONG,
        "training": {**LONG["training"], "num_epochs": 1},
        "data": {"name": "glyphs", "num_samples": 640},
    }
    project.write_config(sections)
    with running(project, "start"), joining(project, "--processes", "2") as worker:
        assert worker.ends() == 0
    assert worker.text.count(" is finished") == 2, worker.text
    assert rows(owner, "SELECT left_reason FROM ledger.workers") == [("the run is over",)] * 2
    assert worker.text.endswith("Thank you!")


@pytest.mark.usefixtures("coordinator")
def test_outside_its_hours_a_worker_takes_no_place(project: Project, owner: Engine) -> None:
    hour = datetime.datetime.now().hour
    with joining(project, "--hours", f"{(hour + 12) % 24}-{(hour + 13) % 24}") as worker:
        worker.says("resting: outside its hours")
        assert rows(owner, "SELECT FROM ledger.workers") == []
        worker.process.send_signal(signal.SIGINT)
        assert worker.ends() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /sys")
@pytest.mark.usefixtures("coordinator")
def test_an_unplugged_laptop_leaves_and_comes_back(
    project: Project, owner: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supply = write_files(
        tmp_path / "supply", {"BAT0/energy_now": b"50", "BAT0/energy_full": b"100", "AC0/online": b"1"}
    )
    monkeypatch.setattr(psutil._pslinux, "POWER_SUPPLY_PATH", str(supply))
    monkeypatch.setenv("BARNRAISE_HOME", str(tmp_path / "home"))
    file = project.folder / "invitations/ada.yaml"
    heard: list[Happening] = []
    stop = threading.Event()
    stay = Stay(
        config=load_invitation(file, None, overrides=("worker.pause_on_battery=true",)), config_file=file, device="cpu",
        report=heard.append, stop=stop, looks_every_seconds=0.1,
    )  # fmt: skip
    thread = threading.Thread(target=stay.run)
    thread.start()
    try:
        wait_until(lambda: any(isinstance(one, Delivered) for one in heard), within_seconds=60, what="a unit")
        (supply / "AC0/online").write_text("0")
        wait_until(lambda: any(isinstance(one, Resting) for one in heard), within_seconds=60, what="the rest")
        assert [str(reason)[:14] for (reason,) in rows(owner, "SELECT left_reason FROM ledger.workers")] == [
            "on its battery"
        ]
        num_heard = len(heard)
        (supply / "AC0/online").write_text("1")
        wait_until(
            lambda: any(isinstance(one, Delivered) for one in heard[num_heard:]), within_seconds=60, what="another unit"
        )
    finally:
        stop.set()
        thread.join()
    reasons = [reason for (reason,) in rows(owner, "SELECT left_reason FROM ledger.workers ORDER BY id")]
    assert reasons[1:] == ["stopped by its owner"]


def test_a_unit_with_damaged_pictures_goes_back_and_the_others_go_on(project: Project, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "pictures", {**picture_files(100, "cats/"), **picture_files(100, "dogs/")})
    for number in range(3):
        (folder / f"cats/{number:03}.png").write_bytes(b"no picture")
    training = {**LONG["training"], "batch_size": 4, "batches_per_work_unit": 1, "num_epochs": 2}
    data = {"name": "images", "path": "pictures", "options": {"labels": "folders"}}
    project.write_config({**LONG, "data": data, "training": training})
    change(project, "data", path=str(folder))
    with running(project, "start"), joining(project) as worker:
        worker.says("goes back: data source images: broken images: cats/00")
        worker.says("delivered", times=20)


def test_who_comes_before_the_teacher_waits(project: Project) -> None:
    with joining(project) as worker:
        worker.says("there is no run named 'default' yet; waiting for the instructor to begin it")
        with running(project, "start"):
            worker.says("delivered")


def test_a_database_that_is_away_is_told_once(project: Project) -> None:
    change(project, "database", port=1)
    with joining(project) as worker:
        worker.says("No database answers at that address")
        worker.process.send_signal(signal.SIGINT)
        assert worker.ends() == 0
    assert worker.text.count("trying again until it answers") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--device", "cuda:99"], 2, "worker.device: cuda:99 is not there; this computer has"),
        (["--device", "toaster"], 2, "worker.device"),
        (["--hours", "25-7"], 2, "worker.hours: must be a span of hours such as 22:00-06:00 or 22-6"),
        (["--processes", "none"], 2, "worker.processes"),
        (["--processes", "2", "--device", "cuda:99"], 2, "cuda:99 is not there"),
        (["--set", "database.password=wrong"], 3, "ask whoever invited you for a new invitation"),
    ],
)
def test_a_mistake_is_said_and_ends_it(project: Project, arguments: list[str], code: int, says: str) -> None:
    with joining(project, *arguments) as worker:
        assert worker.ends() == code
    assert says in worker.text


def test_who_is_revoked_is_told_and_does_not_try_for_ever(project: Project, coordinator: Running) -> None:
    with joining(project) as worker:
        worker.says("delivered")
        assert project.run("revoke", "ada").code == 0
        assert worker.ends() in (3, 4)
    # Once, wherever it was when it was shut out.
    assert worker.text.count("ask") == 1, worker.text
    with joining(project) as again:
        assert again.ends() == 3
    assert coordinator.process.poll() is None


@pytest.mark.parametrize("cut", [1, 20])
def test_a_token_that_was_not_copied_whole_is_told_so(project: Project, cut: int) -> None:
    token = project.run("invite", "bob").out.split()[-1]
    done = project.run("join", token[:-cut], program="worker")
    assert (done.code, "not complete; copy it once more, to its very end" in done.err) == (7, True), done.err


@pytest.mark.usefixtures("coordinator")
def test_the_doctor_sees_all_that_a_worker_needs_and_touches_nothing(project: Project, owner: Engine) -> None:
    found = project.run("doctor", "--config", "invitations/ada.yaml", program="worker", **ONE_THREAD)
    assert found.code == 0, found.out + found.err
    for what in (
        "answers, and knows",
        "you may do all",
        "run default is running",
        "clock agrees",
        "computes on cpu",
        "the run's data is here, and the same: 10 glyphs",
        "free at",
        "samples/s of mlp, 32 at a time",
    ):
        assert what in found.out
    assert rows(owner, "SELECT FROM ledger.workers") == []


def test_the_doctor_finds_damaged_pictures(project: Project, tmp_path: Path, owner: Engine) -> None:
    folder = write_files(tmp_path / "pictures", {**picture_files(100, "cats/"), **picture_files(100, "dogs/")})
    project.write_config({**LONG, "data": {"name": "images", "path": "pictures", "options": {"labels": "folders"}}})
    change(project, "data", path=str(folder))
    with running(project, "start"):
        wait_until(
            lambda: rows(owner, "SELECT FROM ledger.runs WHERE state = 'running'"), within_seconds=60, what="run"
        )
        doctor = ("doctor", "--config", "invitations/ada.yaml", "--every-picture")
        found = project.run(*doctor, program="worker")
        assert (found.code, "all 180 pictures can be read" in found.out) == (0, True), found.out
        for number in range(30):
            damaged = folder / f"cats/{number:03}.png"
            damaged.write_bytes(damaged.read_bytes()[:40].ljust(damaged.stat().st_size, b"x"))
        found = project.run(*doctor, program="worker")
    assert (found.code, "this computer's data is not the run's" in found.out) == (3, True), found.out
    assert re.search(r"NOT OK  damaged pictures: cats/0\d\d\.png.* and \d+ more; copy them once more", found.out), (
        found.out
    )


def test_a_worker_with_other_data_says_so_in_the_ledger(project: Project, coordinator: Running, owner: Engine) -> None:
    with owner.begin() as conn:
        conn.execute(text("""UPDATE ledger.runs SET data = jsonb_set(data, '{fingerprint}', '"0123456789abcdef"')"""))
    with joining(project) as worker:
        assert worker.ends() == 8
    assert "this computer's data is not the run's" in worker.text
    ((reason,),) = rows(owner, "SELECT left_reason FROM ledger.workers")
    assert "this computer's data is not the run's" in str(reason)
    assert coordinator.process.poll() is None
