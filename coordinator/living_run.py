"""A run as its coordinator holds it in memory: the model at the head, and the ranges that nobody has."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from contract.errors import NotFound
from contract.ids import RunId, UnitId, Version
from contract.tensors import split
from contract.workloads import WORKLOADS
from contract.workloads.base import Workload
from contract.workloads.units import Unit
from coordinator.account import Account
from coordinator.cutting import Cutting
from coordinator.judging import Judge
from coordinator.ledger import gradients, runs, units, versions
from coordinator.ledger.versions import Part
from coordinator.mathematics import Mathematics
from coordinator.planning import Pool
from coordinator.replay import recover
from coordinator.staleness import SUBMISSIONS_KEPT, Paces, Policy, Submission
from coordinator.step import TrainingState

PART_BYTES = 4 << 20


@dataclasses.dataclass(slots=True, kw_only=True)
class LivingRun:
    """`state` and `pool` change before a transaction is committed; when that fails they are stale, and read again."""

    run: RunId
    name: str
    mode: str
    training: Mapping[str, Any]
    workload: Workload
    how: Mathematics
    cutting: Cutting
    head: Version
    state: TrainingState
    judge: Judge
    pool: Pool
    num_gradients: int
    staleness: Policy
    paces: Paces
    # The version whose optimizer state the ledger has; the gradients merged since are kept, and these are their bytes.
    remembered: Version
    # The newest version that the ledger has whole.
    keyframe: Version
    unremembered_bytes: int = 0
    # What a private run gave away so far, and why it must end now.
    account: Account | None = None
    spent: str | None = None
    is_stale: bool = False

    def mark_stale(self) -> None:
        self.is_stale = True

    def read_again(self, conn: Connection) -> None:
        fresh = open_run(conn, name=self.name)
        self.head, self.state, self.pool, self.is_stale = fresh.head, fresh.state, fresh.pool, False
        self.judge = fresh.judge
        self.remembered, self.unremembered_bytes = fresh.remembered, fresh.unremembered_bytes
        self.keyframe, self.account = fresh.keyframe, fresh.account
        self.num_gradients, self.paces = fresh.num_gradients, fresh.paces

    def put_back(self, conn: Connection, lost: Sequence[UnitId]) -> None:
        """The samples of these units are handed out once more."""
        self.pool.put_back(
            self.cutting.number(epoch=epoch, first_sample=first) for epoch, first in units.ranges_of(conn, units=lost)
        )

    def samples_of(self, conn: Connection, merged: Sequence[UnitId]) -> list[Unit]:
        return [
            self.cutting.unit(self.cutting.number(epoch=epoch, first_sample=first))
            for epoch, first in units.ranges_of(conn, units=merged)
        ]

    def weights_parts(self) -> list[Part]:
        return [content for _, content in split(self.state.weights_blob, PART_BYTES)]

    def delta(self) -> versions.Delta | None:
        if self.how.deltas is None:
            return None
        frames = b"".join(self.state.delta)
        return versions.Delta(codec=self.how.deltas.codec, parts=[content for _, content in split(frames, PART_BYTES)])

    def optimizer_parts(self) -> list[Part]:
        return [content for _, content in split(self.state.optimizer_blob, PART_BYTES)]


def open_run(conn: Connection, *, name: str) -> LivingRun:
    """Reads everything from the ledger: a restart is nothing else."""
    record = runs.read_run(conn, name=name)
    training = record.training
    workload = WORKLOADS.build(record.workload, record.workload_options)
    how = Mathematics.of(workload, training, seed=record.seed)
    recovered = recover(conn, record, version=record.head_version, how=how)
    keyframe = versions.last_whole(conn, run=record.run, up_to=record.head_version)
    if keyframe is None:
        raise NotFound(f"no version of run {name} has its weights in the ledger any more")
    staleness = Policy.of(training["staleness"])
    cutting = Cutting(
        run_seed=record.seed,
        num_samples=record.data["num_samples"],
        unit_samples=training["batch_size"] * training["batches_per_work_unit"],
    )
    return LivingRun(
        run=record.run,
        name=name,
        mode=record.mode,
        training=training,
        workload=workload,
        how=how,
        head=record.head_version,
        state=recovered.state,
        judge=Judge(training=training, vectors=how.vectors),
        remembered=recovered.remembered,
        unremembered_bytes=recovered.replayed_bytes,
        keyframe=keyframe,
        cutting=cutting,
        pool=Pool(
            num_units=cutting.units_per_epoch * training["num_epochs"],
            taken=[
                cutting.number(epoch=epoch, first_sample=first)
                for epoch, first in units.taken_ranges(conn, run=record.run)
            ],
        ),
        account=read_account(conn, record, how, cutting),
        num_gradients=record.num_gradients_per_update,
        staleness=staleness,
        paces=read_paces(conn, record.run) if staleness.policy == "adaptive" else Paces(),
    )


def read_account(conn: Connection, record: runs.RunRecord, how: Mathematics, cutting: Cutting) -> Account | None:
    if how.privacy is None:
        return None
    account = Account(how.privacy, run_seed=record.seed, num_samples=cutting.num_samples)
    merged = gradients.merged_ranges(conn, run=record.run)
    for _, update in itertools.groupby(merged, key=lambda one: one[0]):
        account.spend([cutting.unit(cutting.number(epoch=epoch, first_sample=first)) for _, epoch, first in update])
    return account


def read_paces(conn: Connection, run: RunId) -> Paces:
    return Paces(
        Submission(gradient=gradient, worker=worker, at=at)
        for gradient, worker, at in gradients.last_submissions(conn, run=run, each=SUBMISSIONS_KEPT)
    )


def create_run(conn: Connection, new: runs.NewRun, state: TrainingState | None = None) -> RunId:
    """The run and its first version: `state` of another run, or drawn from its seed."""
    workload = WORKLOADS.build(new.workload, new.workload_options)
    how = Mathematics.of(workload, new.training, seed=new.seed)
    state = state or TrainingState.start(workload.initial(new.seed), how)
    run = runs.create_run(conn, new)
    first = versions.NewVersion(
        number=Version(0),
        parent=None,
        manifest=how.vectors.manifest.to_json(),
        optimizer_step=state.step,
        parts=[content for _, content in split(state.weights_blob, PART_BYTES)],
    )
    versions.publish_version(conn, run=run, new=first)
    versions.add_parts(
        conn,
        run=run,
        version=Version(0),
        kind="optimizer",
        parts=[content for _, content in split(state.optimizer_blob, PART_BYTES)],
    )
    return run
