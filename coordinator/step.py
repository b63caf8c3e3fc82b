"""Admitted gradients -> aggregate -> optimizer -> next weights. No clock, no database, no randomness.

Weights and moments live in the bytes that are published: a blob is a window on the state, nothing is packed or copied.
And the aggregate exists slab by slab. So the coordinator holds three times the model (weights and two moments) and a
little. The price is that a step changes the state in place: a coordinator that could not publish a step reads its state
from the ledger again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from contract.compressors.base import CHUNK_VALUES
from contract.tensors import Buffer, Manifest, TensorSpec, pack, unpack
from contract.workloads.base import Group, Hyperparameters
from coordinator.admission import Admitted
from coordinator.aggregators import Aggregator
from coordinator.vectors import BUFFERS, Vectors

# Four arrays of so many values stay in a processor's second cache while seven operations go over them.
_STEP_VALUES = min(CHUNK_VALUES, 1 << 15)
# 16 MB, or one tensor that is larger: what is aggregated before the optimizer takes it.
_SLAB_VALUES = 1 << 22
_FIRST, _SECOND = "first_moment/", "second_moment/"


@dataclasses.dataclass(slots=True, kw_only=True)
class TrainingState:
    """What a version is, and what the optimizers remember. `step` counts the updates so far."""

    step: int
    weights: Mapping[str, Tensor]
    weights_blob: bytearray
    moments: Mapping[str, Tensor]
    optimizer_blob: bytearray

    @classmethod
    def start(cls, initial: Mapping[str, Tensor], vectors: Vectors) -> TrainingState:
        blank = optimizer_manifest(vectors)
        header = blank.header()
        optimizer_blob = bytearray(len(header) + blank.num_bytes)
        optimizer_blob[: len(header)] = header
        return cls.resume(pack(initial), optimizer_blob, vectors, step=0)

    @classmethod
    def resume(cls, weights: Buffer, optimizer: Buffer, vectors: Vectors, *, step: int) -> TrainingState:
        """From the blobs of a version. A bytearray is taken over, anything else is copied."""
        weights_blob = weights if isinstance(weights, bytearray) else bytearray(weights)
        optimizer_blob = optimizer if isinstance(optimizer, bytearray) else bytearray(optimizer)
        moments = optimizer_manifest(vectors)
        return cls(
            step=step,
            weights=unpack(weights_blob, vectors.manifest, max_bytes=vectors.manifest.blob_bytes),
            weights_blob=weights_blob,
            moments=unpack(optimizer_blob, moments, max_bytes=moments.blob_bytes),
            optimizer_blob=optimizer_blob,
        )


def optimizer_manifest(vectors: Vectors) -> Manifest:
    specs = {spec.name: spec for spec in vectors.manifest.tensors}
    return Manifest(
        tensors=tuple(
            TensorSpec(name=moment + name, dtype="F32", shape=specs[name].shape)
            for group in vectors.groups
            for name in group.parameters
            for moment in (_FIRST, _SECOND)
        )
    )


def advance(
    state: TrainingState,
    gradients: Sequence[Admitted],
    *,
    rule: Aggregator,
    vectors: Vectors,
    hyperparameters: Hyperparameters,
) -> dict[str, list[float]]:
    """One update in place; by group, the share that each gradient had, in the order of their places."""
    problem = rule.problem(len(gradients))
    if problem is not None:
        raise ValueError(problem)
    ordered = sorted(gradients, key=lambda admitted: admitted.place)
    groups = {group.name: group for group in vectors.groups}
    shares = {}
    for name, sizes in vectors.sizes.items():
        combination = rule.combine([admitted.contribution(name) for admitted in ordered], sizes)
        shares[name] = list(combination.shares)
        for slab in _slabs(sizes):
            totals = {tensor: torch.empty(sizes[tensor], dtype=torch.float32) for tensor in slab}
            combination.fill(totals)
            if name == BUFFERS:
                _take_over(state.weights, totals)
            else:
                _adam(state, groups[name], totals, hyperparameters)
    state.step += 1
    return shares


def _slabs(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """Neighbours in a blob, which is laid out by name, so that reading a slab is reading on."""
    slab: list[str] = []
    num_values = 0
    for name in sorted(sizes):
        if slab and num_values + sizes[name] > _SLAB_VALUES:
            yield slab
            slab, num_values = [], 0
        slab.append(name)
        num_values += sizes[name]
    yield slab


def _take_over(weights: Mapping[str, Tensor], totals: Mapping[str, Tensor]) -> None:
    for name, total in totals.items():
        weights[name].view(-1).copy_(total)


def _adam(
    state: TrainingState, group: Group, gradients: Mapping[str, Tensor], hyperparameters: Hyperparameters
) -> None:
    """The same operations in the same order as torch.optim.AdamW, so that the two agree to the last bit."""
    beta1, beta2 = hyperparameters.beta1, hyperparameters.beta2
    rate = getattr(hyperparameters, group.learning_rate) * group.schedule.share(state.step)
    count = state.step + 1
    step_size = rate / (1.0 - beta1**count)
    root_of_correction = (1.0 - beta2**count) ** 0.5
    for name, gradient in gradients.items():
        decay = 0.0 if name in group.spared else group.weight_decay
        arrays = (state.weights[name], gradient, state.moments[_FIRST + name], state.moments[_SECOND + name])
        for weight, chunk, first, second in zip(
            *(torch.split(array.view(-1), _STEP_VALUES) for array in arrays), strict=True
        ):
            if decay:
                weight.mul_(1.0 - rate * decay)
            first.lerp_(chunk, 1.0 - beta1)
            second.mul_(beta2).addcmul_(chunk, chunk, value=1.0 - beta2)
            # The gradient has done its work; its place is taken by the denominator.
            torch.sqrt(second, out=chunk)
            chunk.div_(root_of_correction).add_(hyperparameters.epsilon)
            weight.addcdiv_(first, chunk, value=-step_size)
