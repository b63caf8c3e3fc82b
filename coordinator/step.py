"""Admitted gradients -> aggregate -> optimizer -> next weights. No clock, no database, and no randomness but the noise
of a private run, which nobody can repeat.

Weights and moments live in the bytes that are published: a blob is a window on the state, nothing is packed or copied.
And the aggregate exists slab by slab. So the coordinator holds the weights, the optimizer's moments (Adam has two; what
a downlink codec left out is one more) and a little. The price is that a step changes the state in place: a coordinator
that could not publish a step reads its state from the ledger again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from contract.deltas import Frame, slabs
from contract.tensors import Buffer, Manifest, TensorSpec, pack, unpack
from contract.workloads.base import Group
from coordinator.admission import Admitted
from coordinator.aggregators import Centre, Combination
from coordinator.downlink import LEFT_OUT, told
from coordinator.mathematics import Mathematics
from coordinator.optimizers import Parameter
from coordinator.vectors import BUFFERS, Vectors


@dataclasses.dataclass(slots=True, kw_only=True)
class TrainingState:
    """What a version is, and what the optimizers remember. `step` counts the updates so far, and `delta` are the frames
    of the last one, where versions travel as deltas."""

    step: int
    weights: Mapping[str, Tensor]
    weights_blob: bytearray
    moments: Mapping[str, Tensor]
    optimizer_blob: bytearray
    delta: list[bytes] = dataclasses.field(default_factory=list)

    @classmethod
    def start(cls, initial: Mapping[str, Tensor], how: Mathematics) -> TrainingState:
        blank = optimizer_manifest(how)
        header = blank.header()
        optimizer_blob = bytearray(len(header) + blank.num_bytes)
        optimizer_blob[: len(header)] = header
        return cls.resume(pack(initial), optimizer_blob, how, step=0)

    @classmethod
    def resume(cls, weights: Buffer, optimizer: Buffer, how: Mathematics, *, step: int) -> TrainingState:
        """From the blobs of a version. A bytearray is taken over, anything else is copied."""
        weights_blob = weights if isinstance(weights, bytearray) else bytearray(weights)
        optimizer_blob = optimizer if isinstance(optimizer, bytearray) else bytearray(optimizer)
        manifest, moments = how.vectors.manifest, optimizer_manifest(how)
        return cls(
            step=step,
            weights=unpack(weights_blob, manifest, max_bytes=manifest.blob_bytes),
            weights_blob=weights_blob,
            moments=unpack(optimizer_blob, moments, max_bytes=moments.blob_bytes),
            optimizer_blob=optimizer_blob,
        )

    def under(self, how: Mathematics) -> TrainingState:
        """The same for another run: what both remember comes along, the rest begins as zeros."""
        fresh = TrainingState.start(self.weights, how)
        fresh.step = self.step
        for name in fresh.moments.keys() & self.moments.keys():
            fresh.moments[name].copy_(self.moments[name])
        return fresh


def optimizer_manifest(how: Mathematics) -> Manifest:
    specs = {spec.name: spec for spec in how.vectors.manifest.tensors}
    return Manifest(
        tensors=tuple(
            TensorSpec(name=f"{moment}/{name}", dtype="F32", shape=specs[name].shape)
            for group in how.vectors.groups
            for name in group.parameters
            for moment in (*how.optimizer.moments, *((LEFT_OUT,) if how.deltas else ()))
        )
    )


def advance(state: TrainingState, gradients: Sequence[Admitted], how: Mathematics) -> dict[str, list[float]]:
    """One update in place; by group, the share that each gradient had, in the order of their places."""
    problem = how.recipe.problem(len(gradients))
    if problem is not None:
        raise ValueError(problem)
    ordered = sorted(gradients, key=lambda admitted: admitted.place)
    groups = {group.name: group for group in how.vectors.groups}
    frames = iter(how.deltas.frames if how.deltas else ())
    state.delta = []
    shares = {}
    for name, sizes in how.vectors.sizes.items():
        combination = combine(state, ordered, name, how)
        for slab in slabs(sizes):
            totals = {tensor: torch.empty(sizes[tensor], dtype=torch.float32) for tensor in slab}
            combination.fill(totals)
            frame = next(frames, None)
            if how.privacy is not None:
                how.privacy.blur(totals, num_gradients=len(ordered))
            if name == BUFFERS:
                _take_over(state.weights, totals)
                if frame is not None:
                    state.delta.append(frame.encode(state.weights, seed=state.step))
                continue
            before = {} if frame is None else {tensor: state.weights[tensor].clone() for tensor in slab}
            _move(state, groups[name], totals, how)
            # What is told of it takes as much again, and so does the next slab.
            totals.clear()
            if frame is not None:
                state.delta.append(_told(state, frame, before))
        shares[name] = list(combination.shares)
    state.step += 1
    return shares


def overall_shares(shares: Mapping[str, Sequence[float]], vectors: Vectors) -> list[float]:
    """Of all parameters together: a group counts by its number of values."""
    num_values = {group: sum(vectors.sizes[group].values()) for group in vectors.parameter_groups}
    whole = sum(num_values.values())
    return [
        sum(share * num_values[group] / whole for share, group in zip(of_one, num_values, strict=True))
        for of_one in zip(*(shares[group] for group in num_values), strict=True)
    ]


def combine(state: TrainingState, ordered: Sequence[Admitted], group: str, how: Mathematics) -> Combination:
    """What the rule makes of a group's vectors; nothing of the state is changed."""
    sizes = how.vectors.sizes[group]
    return how.recipe.combine(
        [admitted.contribution(group) for admitted in ordered],
        sizes,
        step=state.step,
        centre=_centre(state, group, sizes, how),
    )


def _centre(state: TrainingState, group: str, sizes: Mapping[str, int], how: Mathematics) -> Centre:
    """Of parameters what the optimizer knows of the aggregates so far; buffers are values, and theirs are the last
    ones."""
    if group == BUFFERS:
        return Centre(tensors={name: state.weights[name].view(-1) for name in sizes})
    found = how.optimizer.recollection(num_steps=state.step, hyperparameters=how.hyperparameters)
    return Centre(
        tensors={name: state.moments[f"{found.moment}/{name}"].view(-1) for name in sizes}, factor=found.factor
    )


def _told(state: TrainingState, frame: Frame, before: dict[str, Tensor]) -> bytes:
    left_out = {name: state.moments[f"{LEFT_OUT}/{name}"] for name in frame.names}
    return told(frame, before=before, weights=state.weights, left_out=left_out, seed=state.step)


def _take_over(weights: Mapping[str, Tensor], totals: Mapping[str, Tensor]) -> None:
    for name, total in totals.items():
        weights[name].view(-1).copy_(total)


def _move(state: TrainingState, group: Group, totals: Mapping[str, Tensor], how: Mathematics) -> None:
    for name, total in totals.items():
        weights = state.weights[name]
        parameter = Parameter(
            name=name,
            group=group,
            weights=weights.view(-1),
            moments={moment: state.moments[f"{moment}/{name}"].view(-1) for moment in how.optimizer.moments},
            num_rows=weights.shape[0] if weights.dim() > 1 else 1,
        )
        how.optimizer.step(parameter, total, num_steps=state.step, hyperparameters=how.hyperparameters)
