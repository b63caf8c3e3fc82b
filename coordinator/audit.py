"""A merge computed once more from the ledger: to prove it, or to ask what another rule would have made of the same
gradients. Nothing is written."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from sqlalchemy import Connection, Engine

from contract.deltas import slabs
from contract.errors import ConfigError, NotFound
from contract.ids import GradientId, Version
from contract.tensors import sha256, unpack
from contract.workloads import WORKLOADS
from coordinator.aggregators import Combination
from coordinator.fitting import Setting, settle
from coordinator.judging import Judge
from coordinator.ledger import gradients, runs, versions
from coordinator.ledger.runs import RunRecord
from coordinator.mathematics import Mathematics
from coordinator.recipe import Recipe
from coordinator.replay import Merge, recover, reopen
from coordinator.step import TrainingState, advance, combine
from coordinator.weights import read_weights

# What of a gradient's share counts as nothing: less than a thousandth of an equal one.
_NOTHING = 1e-3


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Which merge, without a version the newest; `kept` is coordinator.keep_gradient_blobs, for the advice where it was
    too little."""

    run: str
    version: Version | None
    kept: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """`remembered` is the version that it was computed from. `largest_difference` is that between the weights as they
    came out and as they were published; None where they agree, or were pruned."""

    version: Version
    recipe: Recipe
    num_gradients: int
    remembered: Version
    inputs_agree: bool
    recorded: bytes
    found: bytes
    largest_difference: float | None

    @property
    def agrees(self) -> bool:
        return self.inputs_agree and self.recorded == self.found


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A gradient, with the share that it had in each group and the one that it would have had."""

    gradient: GradientId
    volunteer: str
    num_samples: int
    had: Mapping[str, float]
    would_have: Mapping[str, float]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """Of the other rule's aggregate from the run's own, in lengths of the run's own."""

    cosine: float
    length: float
    difference: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    version: Version
    recipe: Recipe
    other: Recipe
    lines: Sequence[Line]
    # By group.
    distances: Mapping[str, Distance]

    @property
    def dropped_by_own(self) -> list[Line]:
        return [line for line in self.lines if self._is_nothing(line.had)]

    @property
    def dropped_by_other(self) -> list[Line]:
        return [line for line in self.lines if self._is_nothing(line.would_have)]

    def _is_nothing(self, shares: Mapping[str, float]) -> bool:
        return all(abs(share) < _NOTHING / len(self.lines) for share in shares.values())


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """A rule as it is typed. `num_byzantine` is the run's where nobody says otherwise."""

    rule: str
    before: Sequence[str] = ()
    options: Mapping[str, object] = dataclasses.field(default_factory=dict)
    num_byzantine: int | None = None

    def recipe(self, record: RunRecord, num_gradients: int) -> Recipe:
        training = record.training
        f = training["num_byzantine"] if self.num_byzantine is None else self.num_byzantine
        asked = {
            "rule": self.rule, "rule_options": self.options, "num_byzantine": f, "before": list(self.before),
            "before_options": {},
        }  # fmt: skip
        return Recipe.of(settle(asked, Setting.of(num_gradients, training["codec"])), seed=record.seed)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """A merge, and the state that it began with."""

    conn: Connection
    record: RunRecord
    version: Version
    merge: Merge
    state: TrainingState
    remembered: Version


def replay(engine: Engine, ask: Ask) -> Replayed:
    with _opened(engine, ask) as opened:
        merge, state = opened.merge, opened.state
        digest = hashlib.sha256(b"".join(gradient.sha256 for gradient in merge.gradients)).digest()
        advance(state, merge.admitted, merge.how)
        found, recorded = sha256(state.weights_blob), merge.aggregation.output_sha256
        return Replayed(
            version=opened.version,
            recipe=merge.how.recipe,
            num_gradients=len(merge.admitted),
            remembered=opened.remembered,
            inputs_agree=digest == merge.aggregation.input_sha256,
            recorded=recorded,
            found=found,
            largest_difference=None if found == recorded else _largest_difference(opened),
        )


def what_if(engine: Engine, ask: Ask, asked: Other) -> WhatIf:
    with _opened(engine, ask) as opened:
        merge = opened.merge
        other = dataclasses.replace(merge.how, recipe=asked.recipe(opened.record, len(merge.admitted)))
        if (problem := other.recipe.problem(len(merge.admitted))) is not None:
            raise ConfigError([f"version {opened.version} was made of {len(merge.admitted)} gradients: {problem}"])
        had: dict[str, Sequence[float]] = {}
        would_have: dict[str, Sequence[float]] = {}
        distances = {}
        for group, sizes in merge.how.vectors.sizes.items():
            own, others = (combine(opened.state, merge.admitted, group, how) for how in (merge.how, other))
            distances[group] = _distance(own, others, sizes)
            had[group], would_have[group] = own.shares, others.shares
        names = gradients.authors(opened.conn, gradients=merge.aggregation.gradients)
        return WhatIf(
            version=opened.version,
            recipe=merge.how.recipe,
            other=other.recipe,
            lines=[
                Line(
                    gradient=gradient.gradient,
                    volunteer=names[gradient.gradient],
                    num_samples=gradient.num_samples,
                    had={group: shares[place] for group, shares in had.items()},
                    would_have={group: shares[place] for group, shares in would_have.items()},
                )
                for place, gradient in enumerate(merge.gradients)
            ],
            distances=distances,
        )


@contextlib.contextmanager
def _opened(engine: Engine, ask: Ask) -> Iterator[_Opened]:
    # One snapshot: a leader may prune what is read here. And the server sees to it that nothing is written.
    snapshot = engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with snapshot as conn, conn.begin():
        record = runs.read_run(conn, name=ask.run)
        version = record.head_version if ask.version is None else ask.version
        if not 1 <= version <= record.head_version:
            merged = "nothing was merged yet" if record.head_version == 0 else f"1 to {record.head_version} were"
            raise NotFound(f"run {record.name}: version {version} was not merged of gradients; {merged}")
        workload = WORKLOADS.build(record.workload, record.workload_options)
        how = Mathematics.of(workload, record.training, seed=record.seed)
        if how.privacy is not None:
            raise NotFound(
                f"run {record.name} is private: the noise in version {version} is written down nowhere, or it could be "
                "taken off again; so the version cannot be computed again, and there is nothing to compare"
            )
        remembered = _require_all(conn, record, version, kept=ask.kept)
        before = recover(conn, record, version=Version(version - 1), how=how)
        judge = Judge(training=record.training, vectors=how.vectors)
        merge = reopen(conn, record.run, version, how=how, judge=judge)
        yield _Opened(conn=conn, record=record, version=version, merge=merge, state=before.state, remembered=remembered)


def _require_all(conn: Connection, record: RunRecord, version: Version, *, kept: int) -> Version:
    """The version that all begins with. NotFound names whatever of the way from there was pruned."""
    remembered = versions.last_remembered(conn, run=record.run, up_to=Version(version - 1))
    missing = []
    if remembered is None:
        missing.append("what the optimizer remembered before it")
    for number in range(version if remembered is None else remembered + 1, version + 1):
        aggregation = versions.find_aggregation(conn, run=record.run, version=Version(number))
        if aggregation is not None and (pruned := gradients.pruned(conn, gradients=aggregation.gradients)):
            missing.append(f"of version {number} the gradients {', '.join(map(str, pruned))}")
    if missing:
        raise NotFound(
            f"version {version} of run {record.name} cannot be computed again; pruned are: {'; '.join(missing)}. "
            f"coordinator.keep_gradient_blobs says for how many of the newest versions all of this is kept: it is "
            f"{kept}, and the newest is {record.head_version}"
        )
    assert remembered is not None
    return remembered


def _largest_difference(opened: _Opened) -> float | None:
    how = opened.merge.how
    blob = read_weights(opened.conn, run=opened.record.run, version=opened.version, how=how)
    if blob is None:
        return None
    published = unpack(blob, how.vectors.manifest, max_bytes=len(blob))
    found = opened.state.weights
    return max(float((found[name] - tensor).abs().max()) for name, tensor in published.items() if tensor.numel())


def _distance(own: Combination, other: Combination, sizes: Mapping[str, int]) -> Distance:
    products = torch.zeros(3, dtype=torch.float64)
    for slab in slabs(sizes):
        ours, theirs = ({name: torch.empty(sizes[name]) for name in slab} for _ in range(2))
        own.fill(ours)
        other.fill(theirs)
        for name in slab:
            left, right = ours[name].double(), theirs[name].double()
            products += torch.stack([left @ left, right @ right, left @ right])
    square, other_square, product = products.tolist()
    both = math.sqrt(square * other_square)
    return Distance(
        cosine=product / both if both else math.nan,
        length=math.sqrt(other_square / square) if square else math.nan,
        difference=math.sqrt(max(0.0, square + other_square - 2.0 * product) / square) if square else math.nan,
    )
