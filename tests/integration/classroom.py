"""A ledger with a running run and invited people, and their connections: what most integration tests begin with."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from contract.database import engine_for
from contract.ids import RunId, UnitId, Version
from contract.states import RunState
from coordinator.ledger import people, runs, units, versions
from tests.servers.databases import Database
from tests.servers.server import Login
from worker import ledger
from worker.ledger import Joined, Lease, Submission

PASSWORD = "correct horse battery staple"
GRADIENT = b"gradient"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Classroom:
    database: Database
    owner: Engine
    run: RunId
    engines: contextlib.ExitStack

    def invite(self, name: str) -> Engine:
        """The volunteer's own engine, logged in with their role."""
        with self.owner.begin() as conn:
            return self.engine_of(people.invite(conn, name=name, password=PASSWORD))

    def engine_of(self, admission: people.Admission) -> Engine:
        login = Login(role=admission.role, password=admission.password)
        engine = engine_for(self.database.url(login), application="test")
        self.engines.callback(engine.dispose)
        return engine

    def open_units(self, number: int, planned_version: Version | None = None) -> list[UnitId]:
        new = [units.NewUnit(epoch=0, first_sample=10 * n, num_samples=10, seed=n) for n in range(number)]
        with self.owner.begin() as conn:
            return units.open_units(conn, run=self.run, units=new, planned_version=planned_version)

    def publish(self, number: int, **metrics: float) -> None:
        """As a merge ends: the version, what was measured of it, and the word to those who listen."""
        new = versions.NewVersion(
            number=Version(number), parent=Version(number - 1), manifest="{}", optimizer_step=number, parts=[b"weights"]
        )
        with self.owner.begin() as conn:
            versions.publish_version(conn, run=self.run, new=new)
            versions.record_metrics(conn, run=self.run, version=Version(number), metrics=metrics)


def join(volunteer: Engine, name: str = "laptop") -> Joined:
    with volunteer.begin() as conn:
        return ledger.join(conn, run="class", name=name, host="host", device="cpu", capabilities={}, software={})


def claim(volunteer: Engine, joined: Joined) -> Lease:
    with volunteer.begin() as conn:
        lease = ledger.claim(conn, worker=joined.worker)
    assert lease is not None
    return lease


def submission(gradient: bytes = GRADIENT, num_samples: int = 10) -> Submission:
    return Submission(
        codec="none",
        num_samples=num_samples,
        num_parts=1,
        num_bytes=len(gradient),
        sha256=hashlib.sha256(gradient).digest(),
        losses={"loss": 0.5},
    )


def new_run(name: str = "class") -> runs.NewRun:
    return runs.NewRun(
        name=name,
        mode="async",
        workload="none",
        workload_options={},
        data={},
        training={},
        seed=0,
        num_gradients_per_update=2,
    )


@contextlib.contextmanager
def open_classroom(database: Database) -> Iterator[Classroom]:
    owner = engine_for(database.url(), application="test")
    with owner.begin() as conn:
        run = runs.create_run(conn, new_run())
        first = versions.NewVersion(number=Version(0), parent=None, manifest="{}", optimizer_step=0, parts=[b"weights"])
        versions.publish_version(conn, run=run, new=first)
        runs.set_run_state(conn, run=run, state=RunState.RUNNING)
    with contextlib.ExitStack() as engines:
        engines.callback(owner.dispose)
        yield Classroom(database=database, owner=owner, run=run, engines=engines)


@pytest.fixture
def classroom(database: Database) -> Iterator[Classroom]:
    with open_classroom(database) as room:
        yield room
