"""Real processes, a falling loss, and what interrupts it."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from tests.project import Project
from tests.servers.databases import Database
from tests.waiting import wait_until

UPDATES = 30
TINY: dict[str, dict[str, object]] = {
    "run": {"seed": 7},
    "model": {"name": "mlp", "options": {"image_size": 16, "hidden_features": 32}},
    "data": {"name": "glyphs", "num_samples": UPDATES * 2 * 64},
    "training": {
        "batch_size": 32,
        "batches_per_work_unit": 2,
        "num_workunits_per_update": 2,
        "num_epochs": 1,
        "spare_units": 0,
        "learning_rate_g": 0.003,
    },
    "worker": {"heartbeat_interval": 1, "work_unit_timeout": 6, "poll_interval": 0.5},
}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@pytest.fixture
def project(tmp_path: Path, database: Database) -> Project:
    made = Project(folder=tmp_path, database=database)
    made.write_config(TINY)
    for name in ("ada", "bob"):
        assert made.run("invite", name).code == 0
    return made


@pytest.fixture
def owner(database: Database) -> Iterator[Engine]:
    engine = create_engine(database.url(), isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


@contextlib.contextmanager
def running(project: Project, *arguments: str, program: str = "coordinator") -> Iterator[subprocess.Popen[str]]:
    process = project.start(*arguments, program=program, BARNRAISE_HOME=str(project.folder / "home"), **ONE_THREAD)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@contextlib.contextmanager
def two_workers(project: Project) -> Iterator[None]:
    with (
        running(project, "join", "--config", "invitations/ada.yaml", program="worker"),
        running(project, "join", "--config", "invitations/bob.yaml", program="worker"),
    ):
        yield


def head(owner: Engine, run: str) -> int:
    with owner.connect() as conn:
        found = conn.execute(text("SELECT head_version FROM ledger.runs WHERE name = :run"), {"run": run})
        return int(found.scalar_one_or_none() or 0)


def reached(owner: Engine, run: str, version: int) -> bool:
    return head(owner, run) >= version


def train_to_the_end(project: Project, owner: Engine, run: str, *, kill_at: tuple[int, ...] = ()) -> bytes:
    """The checksum of the last version; the coordinator is killed when the head reaches each of `kill_at`."""
    for person in ("ada", "bob"):
        path = project.folder / f"invitations/{person}.yaml"
        path.write_text(path.read_text("utf-8").replace("name: default", f"name: {run}"), "utf-8")
    named = ("start", "--set", f"run.name={run}")
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(running(project, *named))
        wait_until(lambda: exists(owner, run), within_seconds=60, what="the run")
        stack.enter_context(two_workers(project))
        coordinator = first
        for version in kill_at:
            wait_until(
                lambda version=version: head(owner, run) >= version, within_seconds=60, what=f"version {version}"
            )
            coordinator.kill()
            coordinator.wait()
            coordinator = stack.enter_context(running(project, *named))
        wait_until(lambda: state(owner, run) == "finished", within_seconds=100, what="the end of the run")
    with owner.connect() as conn:
        last = text(
            "SELECT m.sha256 FROM ledger.model_versions m JOIN ledger.runs r ON r.id = m.run_id"
            " AND r.head_version = m.number WHERE r.name = :run"
        )
        return bytes(conn.execute(last, {"run": run}).scalar_one())


def exists(owner: Engine, run: str) -> bool:
    return state(owner, run) == "running"


def state(owner: Engine, run: str) -> str | None:
    with owner.connect() as conn:
        found = conn.execute(text("SELECT state FROM ledger.runs WHERE name = :run"), {"run": run})
        return found.scalar_one_or_none()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", ["sync", pytest.param("local", marks=pytest.mark.nightly)])
def test_five_kills_of_the_coordinator_change_no_bit(project: Project, owner: Engine, mode: str) -> None:
    project.write_config({**TINY, "training": {**TINY["training"], "mode": mode}})
    undisturbed = train_to_the_end(project, owner, "default")
    for person in ("ada", "bob"):
        path = project.folder / f"invitations/{person}.yaml"
        path.write_text(path.read_text("utf-8").replace("name: disturbed", "name: default"), "utf-8")
    disturbed = train_to_the_end(project, owner, "disturbed", kill_at=(3, 8, 13, 18, 23))
    assert head(owner, "default") == head(owner, "disturbed") == UPDATES
    assert disturbed == undisturbed
    with owner.connect() as conn:
        twice = "SELECT count(*) FROM ledger.gradients WHERE state = 'merged' GROUP BY unit_id HAVING count(*) > 1"
        assert conn.execute(text(twice)).all() == []
        losses = "SELECT value FROM ledger.metrics WHERE name = 'loss' AND version IN (1, 30) ORDER BY run_id, version"
        first, last, *_ = conn.execute(text(losses)).scalars()
        assert last < 0.7 * first
