"""A run that can be trained, its duties, and people who compute for it: the tests of rounds begin here.

The people's gradients are drawn, not computed: what a round does with them is not about what they say.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator, Mapping

import torch
from sqlalchemy import Engine, text

from contract.compressors import CODECS, Codec, encoded
from contract.config import Config
from contract.database import engine_for
from contract.ids import RunId, UnitId
from contract.states import RunState
from coordinator.duties import finish, merge, plan, reap, resize
from coordinator.leadership import Leadership
from coordinator.ledger import people, runs
from coordinator.living_run import LivingRun, create_run, open_run
from coordinator.new_run import new_run
from tests.integration.classroom import PASSWORD
from tests.integration.classroom import claim as claim_unit
from tests.servers.databases import Database
from tests.servers.server import Login
from worker import ledger
from worker.ledger import Joined, Lease, Submission

SAMPLES_PER_UNIT = 4
SMALL_MLP = {"name": "mlp", "options": {"image_size": 8, "hidden_features": 4}}
_CLOCKS = (("model_versions", "created_at"), ("leaders", "elected_at"), ("gradients", "submitted_at"))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    name: str
    engine: Engine
    joined: Joined
    shop: Workshop

    def claim(self) -> Lease:
        return claim_unit(self.engine, self.joined)

    def submit(
        self, lease: Lease, *, value: float = 0.01, codec: Codec | None = None, num_samples: int | None = None
    ) -> None:
        """A gradient of the right form, the same value everywhere."""
        manifest = self.shop.living.how.vectors.manifest
        tensors = {spec.name: torch.full(spec.shape, value) for spec in manifest.tensors}
        codec = codec or CODECS.build("none")
        blob = encoded(codec, tensors, seed=0)
        submission = Submission(
            codec=codec.name, num_samples=num_samples or lease.num_samples, num_parts=1, num_bytes=len(blob),
            sha256=hashlib.sha256(blob).digest(), losses={"loss": 1.0},
        )  # fmt: skip
        with self.engine.begin() as conn:
            ledger.submit(conn, lease=lease, submission=submission, last_part=blob)

    def work(self, times: int = 1) -> list[UnitId]:
        done = []
        for _ in range(times):
            lease = self.claim()
            self.submit(lease)
            done.append(lease.unit)
        return done

    def give_up(self, lease: Lease, reason: str) -> None:
        with self.engine.begin() as conn:
            ledger.release(conn, lease=lease, reason=reason, failed=True)

    def leave(self) -> None:
        with self.engine.begin() as conn:
            ledger.leave(conn, worker=self.joined.worker, reason="the lid is closed")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    database: Database
    owner: Engine
    living: LivingRun
    merge: merge.Merge
    plan: plan.Plan
    reap: reap.Reap
    resize: resize.Resize
    finish: finish.Finish
    engines: contextlib.ExitStack

    @property
    def run(self) -> RunId:
        return self.living.run

    def invite(self, name: str) -> Person:
        with self.owner.begin() as conn:
            admission = people.invite(conn, name=name, password=PASSWORD)
        engine = engine_for(self.database.url(Login(role=admission.role, password=PASSWORD)), application="test")
        self.engines.callback(engine.dispose)
        return Person(name=name, engine=engine, joined=self.join(engine, f"{name}s laptop"), shop=self)

    def join(self, engine: Engine, name: str) -> Joined:
        with engine.begin() as conn:
            return ledger.join(conn, run="class", name=name, host="h", device="cpu", capabilities={}, software={})

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        with self.owner.begin() as conn:
            return [tuple(row) for row in conn.execute(text(statement))]

    def turn(self) -> merge.Report:
        """Of the coordinator's loop."""
        assert self.merge.leadership.hold()
        merged = self.merge.run_once()
        self.resize.run_once()
        self.plan.run_once()
        return merged

    def let_pass(self, seconds: float) -> None:
        """For rounds and for gradients that wait: the owner moves what the database's clock wrote down."""
        with self.owner.begin() as conn:
            for table, column in _CLOCKS:
                moved = f"UPDATE ledger.{table} SET {column} = {column} - make_interval(secs => :seconds)"
                conn.execute(text(f"ALTER TABLE ledger.{table} DISABLE TRIGGER USER"))
                conn.execute(text(moved), {"seconds": seconds})
                conn.execute(text(f"ALTER TABLE ledger.{table} ENABLE TRIGGER USER"))


def config_of(changes: Mapping[str, Mapping[str, object]]) -> Config:
    """`changes` by section; a unit holds four samples."""
    training = {"batch_size": SAMPLES_PER_UNIT, "batches_per_work_unit": 1, "num_epochs": 1, "spare_units": 0}
    return Config.model_validate(
        {
            "run": {"name": "class"},
            "model": changes.get("model", SMALL_MLP),
            "data": {"name": "glyphs", "num_samples": 40, **changes.get("data", {})},
            "training": {**training, **changes.get("training", {})},
            "privacy": dict(changes.get("privacy", {})),
            "aggregation": dict(changes.get("aggregation", {})),
            "staleness": dict(changes.get("staleness", {})),
            "worker": dict(changes.get("worker", {})),
            "compression": dict(changes.get("compression", {})),
        }
    )


@contextlib.contextmanager
def open_workshop(database: Database, changes: Mapping[str, Mapping[str, object]]) -> Iterator[Workshop]:
    """`changes` of the configuration."""
    config = config_of(changes)
    owner = engine_for(database.url(), application="test")
    with owner.begin() as conn:
        create_run(conn, new_run(config, config_file=None))
        runs.set_run_state(conn, run=runs.read_run(conn, name="class").run, state=RunState.RUNNING)
        living = open_run(conn, name="class")
    leadership = Leadership(engine=owner, run=living.run)
    assert leadership.hold()
    with contextlib.ExitStack() as engines:
        engines.callback(owner.dispose)
        yield Workshop(
            database=database,
            owner=owner,
            living=living,
            merge=merge.Merge(
                engine=owner, living=living, leadership=leadership, deadline_seconds=config.training.round_deadline
            ),
            plan=plan.Plan(engine=owner, living=living, leadership=leadership, spare_units=config.training.spare_units),
            reap=reap.Reap(engine=owner, run=living.run),
            resize=resize.Resize(engine=owner, living=living, leadership=leadership),
            finish=finish.Finish(engine=owner, living=living, leadership=leadership),
            engines=engines,
        )
