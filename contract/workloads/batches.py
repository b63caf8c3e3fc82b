"""Batches are cut, never copied."""

from __future__ import annotations

from contract.sources.base import Batch


def num_samples_of(batch: Batch) -> int:
    tensor = batch.images if batch.images is not None else batch.tokens
    assert tensor is not None
    return len(tensor)


def part_of(batch: Batch, start: int, stop: int) -> Batch:
    return Batch(
        images=None if batch.images is None else batch.images[start:stop],
        labels=None if batch.labels is None else batch.labels[start:stop],
        tokens=None if batch.tokens is None else batch.tokens[start:stop],
    )
