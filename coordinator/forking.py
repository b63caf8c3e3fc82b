"""`coordinator fork`: a run that begins with the weights of another's version."""

from __future__ import annotations

import dataclasses

from sqlalchemy import Connection, Engine

from contract.errors import BlobError, ConfigError, NotFound
from contract.ids import RunId, Version
from contract.tensors import unpack
from contract.workloads import WORKLOADS
from coordinator.ledger import runs
from coordinator.living_run import create_run
from coordinator.mathematics import Mathematics
from coordinator.replay import recover
from coordinator.step import TrainingState
from coordinator.weights import require_weights


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """RUN or RUN@VERSION, as it is typed; without a version the newest is meant."""

    run: str
    version: Version | None

    @classmethod
    def parse(cls, written: str) -> Origin:
        name, at, number = written.partition("@")
        if at and not number.isdecimal():
            raise ValueError(f"{written} is neither RUN nor RUN@VERSION, with a whole number as the version")
        return cls(run=name, version=Version(int(number)) if at else None)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Forked:
    run: RunId
    version: Version
    keeps_optimizer: bool


def fork(engine: Engine, new: runs.NewRun, origin: Origin, *, fresh_optimizer: bool = False) -> Forked:
    """The optimizer's memory comes along where the ledger still holds it, which is for the newest versions, and where
    the new run steps with the same optimizer."""
    # One snapshot: a leader may prune the version while it is read.
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as conn, conn.begin():
        parent = runs.read_run(conn, name=origin.run)
        _require_same_model(parent, new)
        _require_public(new)
        version = parent.head_version if origin.version is None else origin.version
        its_workload = WORKLOADS.build(parent.workload, parent.workload_options)
        its = Mathematics.of(its_workload, parent.training, seed=parent.seed)
        ours = Mathematics.of(WORKLOADS.build(new.workload, new.workload_options), new.training, seed=new.seed)
        # What one optimizer remembers is nothing to another.
        is_other = its.optimizer.name != ours.optimizer.name
        state = None if fresh_optimizer or is_other else _state(conn, parent, version, its)
        keeps_optimizer = state is not None
        if state is None:
            weights = require_weights(conn, parent, version=version, how=its)
            state = TrainingState.start(unpack(weights, ours.vectors.manifest, max_bytes=len(weights)), ours)
        else:
            state = state.under(ours)
    with engine.begin() as conn:
        run = create_run(conn, dataclasses.replace(new, parent_run=parent.run, parent_version=version), state)
    return Forked(run=run, version=version, keeps_optimizer=keeps_optimizer)


def _state(conn: Connection, parent: runs.RunRecord, version: Version, how: Mathematics) -> TrainingState | None:
    try:
        return recover(conn, parent, version=version, how=how).state
    except (NotFound, BlobError):
        # Of an old version the moments were pruned, or the gradients that they could be computed from.
        return None


def _require_same_model(parent: runs.RunRecord, new: runs.NewRun) -> None:
    its = WORKLOADS.build(parent.workload, parent.workload_options)
    ours = WORKLOADS.build(new.workload, new.workload_options)
    if its != ours:
        raise ConfigError(
            [f"model: run {parent.name} trains {its}, the configuration says {ours}; a fork keeps the model"]
        )
    if parent.training["workload_version"] != ours.version:
        raise ConfigError(
            [
                f"model: run {parent.name} trains version {parent.training['workload_version']} of {ours.name}, this "
                f"Barnraise has version {ours.version}, whose weights mean something else"
            ]
        )


def _require_public(new: runs.NewRun) -> None:
    if new.training["privacy"] is not None:
        raise ConfigError(
            [
                "privacy.enabled: a private run begins with weights that no data has touched, and nobody knows what "
                "those of a fork give away; begin it with `coordinator start`, or fork without privacy"
            ]
        )
