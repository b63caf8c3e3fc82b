"""The state of a run at a version, from what the ledger has of it.

A version is published with its weights alone; what the optimizer remembers is written down now and then
(docs/decisions/0014). Between the two lie merges whose gradients are kept: computed once more, they give the same bits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sqlalchemy import Connection

from contract.errors import BlobError, NotFound
from contract.ids import RunId, Version
from contract.tensors import sha256, unpack
from coordinator.admission import Admitted, Refused
from coordinator.downlink import LEFT_OUT
from coordinator.judging import Judge
from coordinator.ledger import gradients, versions
from coordinator.ledger.gradients import WaitingGradient
from coordinator.ledger.runs import RunRecord
from coordinator.ledger.versions import Aggregation
from coordinator.mathematics import Mathematics
from coordinator.recipe import Recipe
from coordinator.step import TrainingState, advance
from coordinator.weights import read_weights


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """`remembered` is the newest version of which the ledger has the optimizer's state; `replayed_bytes` were read to
    come from there to here."""

    state: TrainingState
    remembered: Version
    replayed_bytes: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """How a version was merged, ready to be merged again: `admitted` and `gradients` in the order of their places, and
    `how` with the rule as it was then."""

    aggregation: Aggregation
    gradients: Sequence[WaitingGradient]
    admitted: Sequence[Admitted]
    how: Mathematics


def recover(conn: Connection, record: RunRecord, *, version: Version, how: Mathematics) -> Recovered:
    """NotFound or BlobError where what it takes was pruned."""
    run = record.run
    remembered = versions.last_remembered(conn, run=run, up_to=version)
    if remembered is None:
        raise NotFound(f"what the optimizer remembered at version {version} was pruned")
    if how.privacy is not None and remembered < version:
        raise NotFound(
            f"the noise in version {version} cannot be repeated, and what the optimizer remembered was pruned"
        )
    state = _written_down(conn, run, remembered, how)
    judge = Judge(training=record.training, vectors=how.vectors)
    num_bytes = sum(
        _merge_again(conn, run, Version(number), state, how, judge) for number in range(remembered + 1, version + 1)
    )
    if (
        remembered < version
        and sha256(state.weights_blob) != versions.find_version(conn, run=run, version=version).sha256
    ):
        _accept(state, _weights(conn, run, version, how), how)
    return Recovered(state=state, remembered=remembered, replayed_bytes=num_bytes)


def _written_down(conn: Connection, run: RunId, version: Version, how: Mathematics) -> TrainingState:
    step = versions.find_version(conn, run=run, version=version).optimizer_step
    optimizer = bytearray().join(versions.read_parts(conn, run=run, version=version, kind="optimizer"))
    return TrainingState.resume(_weights(conn, run, version, how), optimizer, how, step=step)


def _weights(conn: Connection, run: RunId, version: Version, how: Mathematics) -> bytearray:
    weights = read_weights(conn, run=run, version=version, how=how)
    if weights is None:
        raise NotFound(f"the weights of version {version} were pruned")
    return weights


def reopen(conn: Connection, run: RunId, version: Version, *, how: Mathematics, judge: Judge) -> Merge:
    """BlobError where a gradient is not there any more, or not what it was. What is admitted reads through `conn`."""
    aggregation = versions.find_aggregation(conn, run=run, version=version)
    if aggregation is None:
        raise NotFound(f"how version {version} was merged is not recorded")
    weights = dict(zip(aggregation.gradients, aggregation.weights, strict=True))
    merged = sorted(gradients.read_gradients(conn, gradients=aggregation.gradients), key=lambda one: one.unit)
    admitted: list[Admitted] = []
    for gradient in merged:
        verdict = judge.judge(conn, gradient)
        if isinstance(verdict, Refused):
            raise BlobError(
                f"version {version} cannot be computed again: gradient {gradient.gradient}: {verdict.verdict}"
            )
        admitted.append(dataclasses.replace(verdict, weight=weights[gradient.gradient]))
    recipe = Recipe.recorded(aggregation.rule, aggregation.options, seed=how.recipe.seed)
    how = dataclasses.replace(how, recipe=recipe)
    return Merge(aggregation=aggregation, gradients=merged, admitted=admitted, how=how)


def _merge_again(
    conn: Connection, run: RunId, version: Version, state: TrainingState, how: Mathematics, judge: Judge
) -> int:
    merge = reopen(conn, run, version, how=how, judge=judge)
    advance(state, merge.admitted, merge.how)
    judge.forget()
    return sum(gradient.num_bytes for gradient in merge.gradients)


def _accept(state: TrainingState, published: bytearray, how: Mathematics) -> None:
    """Another machine, or another torch, adds up with other last bits. What was published is what counts; where deltas
    were, the difference is one more thing that workers were not told."""
    manifest = how.vectors.manifest
    for name, weights in unpack(published, manifest, max_bytes=manifest.blob_bytes).items():
        left_out = state.moments.get(f"{LEFT_OUT}/{name}")
        if left_out is not None:
            left_out.add_(state.weights[name] - weights)
        state.weights[name].copy_(weights)
