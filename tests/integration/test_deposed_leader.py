"""A coordinator that slept through its lease wakes up inside a duty, and another leads: it changes nothing any more."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from contract.config import Config
from contract.database import engine_for
from contract.errors import DatabaseError, LeadershipLost
from contract.ids import GradientId, Version
from contract.states import RunState
from coordinator.duties.finish import Finish
from coordinator.duties.merge import Merge
from coordinator.duties.plan import Plan
from coordinator.duties.resize import Resize
from coordinator.leadership import Leadership
from coordinator.ledger import people, runs, versions
from coordinator.living_run import LivingRun, create_run, open_run
from coordinator.new_run import new_run
from coordinator.waits import limit_waits
from tests.servers.databases import Database
from tests.servers.server import Login
from worker import ledger
from worker.ledger import Submission

PASSWORD = "correct horse battery staple"
CONFIG = Config.model_validate(
    {
        "run": {"name": "class"},
        "model": {"name": "mlp", "options": {"image_size": 4, "hidden_features": 2}},
        "data": {"name": "glyphs", "num_samples": 64},
        "training": {"batch_size": 8, "batches_per_work_unit": 1, "num_workunits_per_update": 1, "num_epochs": 1},
    }
)


@dataclasses.dataclass(slots=True, kw_only=True)
class Leader:
    """As `coordinator start` holds it in memory."""

    engine: Engine
    leadership: Leadership
    living: LivingRun

    @property
    def plan(self) -> Plan:
        return Plan(engine=self.engine, living=self.living, leadership=self.leadership, spare_units=0)

    @property
    def merge(self) -> Merge:
        return Merge(engine=self.engine, living=self.living, leadership=self.leadership, deadline_seconds=600)

    @property
    def resize(self) -> Resize:
        return Resize(engine=self.engine, living=self.living, leadership=self.leadership)

    @property
    def finish(self) -> Finish:
        return Finish(engine=self.engine, living=self.living, leadership=self.leadership)


@pytest.fixture
def owner(database: Database) -> Iterator[Engine]:
    engine = engine_for(database.url(), application="test")
    with engine.begin() as conn:
        create_run(conn, new_run(CONFIG, config_file=None))
        runs.set_run_state(conn, run=runs.read_run(conn, name="class").run, state=RunState.RUNNING)
    yield engine
    engine.dispose()


@pytest.fixture
def alice(database: Database, owner: Engine) -> Iterator[Engine]:
    with owner.begin() as conn:
        admission = people.invite(conn, name="alice", password=PASSWORD)
    engine = engine_for(database.url(Login(role=admission.role, password=PASSWORD)), application="test")
    yield engine
    engine.dispose()


def elect(owner: Engine) -> Leader:
    """Whoever led before is deposed by it."""
    with owner.begin() as conn:
        conn.execute(text("UPDATE ledger.leaders SET expires_at = '-infinity'"))
        living = open_run(conn, name="class")
    leadership = Leadership(engine=owner, run=living.run)
    assert leadership.hold()
    return Leader(engine=owner, leadership=leadership, living=living)


def submit_one(alice: Engine, content: bytes) -> GradientId:
    with alice.begin() as conn:
        joined = ledger.join(conn, run="class", name="laptop", host="h", device="cpu", capabilities={}, software={})
        lease = ledger.claim(conn, worker=joined.worker)
        assert lease is not None
        submission = Submission(
            codec="none", num_samples=8, num_parts=1, num_bytes=len(content),
            sha256=hashlib.sha256(content).digest(), losses={"loss": 1.0},
        )  # fmt: skip
        return ledger.submit(conn, lease=lease, submission=submission, last_part=content)


def states(owner: Engine, table: str) -> list[str]:
    with owner.connect() as conn:
        return list(conn.execute(text(f"SELECT state FROM ledger.{table} ORDER BY id")).scalars())


def test_it_hands_out_no_samples(owner: Engine) -> None:
    sleeper = elect(owner)
    elect(owner)
    with pytest.raises(LeadershipLost):
        sleeper.plan.run_once()
    assert states(owner, "work_units") == []


def test_it_calls_nothing_late(owner: Engine, alice: Engine) -> None:
    sleeper = elect(owner)
    next_one = versions.NewVersion(
        number=Version(1), parent=Version(0), manifest="{}", optimizer_step=1, parts=sleeper.living.weights_parts()
    )
    present = elect(owner)
    with owner.begin() as conn:
        versions.publish_version(conn, run=present.living.run, new=next_one)
    present.living.head = Version(1)
    present.plan.run_once()
    submit_one(alice, b"of the present round")
    with pytest.raises(LeadershipLost):
        sleeper.merge.run_once()
    assert states(owner, "gradients") == ["submitted"]


def test_it_refuses_nothing(owner: Engine, alice: Engine) -> None:
    sleeper = elect(owner)
    sleeper.plan.run_once()
    submit_one(alice, b"no gradient at all")
    elect(owner)
    with pytest.raises(LeadershipLost):
        sleeper.merge.run_once()
    assert states(owner, "gradients") == ["submitted"]


def test_one_that_falls_asleep_while_it_publishes_is_not_waited_for_for_ever(owner: Engine, database: Database) -> None:
    sleeper = elect(owner)
    engine = engine_for(database.url(), application="test")
    limit_waits(engine, silent_seconds=0.1)
    with engine.connect() as conn:
        sleeper.leadership.require(conn)
        elect(owner)
        with pytest.raises(DatabaseError):
            sleeper.leadership.require(conn)
    engine.dispose()


def test_it_does_not_resize_the_update(owner: Engine, alice: Engine) -> None:
    sleeper = elect(owner)
    with owner.begin() as conn:
        conn.execute(text("""UPDATE ledger.runs SET training = training || '{"num_workunits_per_update": "auto"}'"""))
    sleeper.living = dataclasses.replace(
        sleeper.living, training={**sleeper.living.training, "num_workunits_per_update": "auto"}, num_gradients=3
    )
    with alice.begin() as conn:
        ledger.join(conn, run="class", name="laptop", host="h", device="cpu", capabilities={}, software={})
    elect(owner)
    with pytest.raises(LeadershipLost):
        sleeper.resize.run_once()


def test_it_does_not_end_the_run(owner: Engine) -> None:
    sleeper = elect(owner)
    sleeper.living.pool.take(8)
    elect(owner)
    with pytest.raises(LeadershipLost):
        sleeper.finish.run_once()
    assert states(owner, "runs") == ["running"]
