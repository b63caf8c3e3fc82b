"""Gradients for the tests of rules: blobs as a worker sends them, opened as the coordinator opens them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from contract.compressors import CODECS, encoded, open_blob, range_reader
from contract.ids import GradientId
from contract.tensors import Manifest
from coordinator.aggregators import Centre, Combination, Contribution
from coordinator.recipe import Recipe


def random_vectors(count: int, size: int, *, seed: int = 0, scale: float = 1.0) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed)) * scale


def cut(vector: Tensor, sizes: Mapping[str, int]) -> dict[str, Tensor]:
    return dict(zip(sizes, vector.split(list(sizes.values())), strict=True))


def contributions(
    vectors: Tensor,
    sizes: Mapping[str, int],
    *,
    weights: Sequence[float] | None = None,
    codec: str = "none",
    at: int = 0,
) -> list[Contribution]:
    """Blobs that begin `at` bytes after where numbers usually do."""
    how = CODECS.build(codec)
    found = []
    for number, vector in enumerate(vectors):
        tensors = cut(vector, sizes)
        blob = memoryview(bytes(at) + encoded(how, tensors, seed=number))[at:]
        found.append(
            Contribution(
                gradient=GradientId(number),
                weight=1.0 if weights is None else weights[number],
                decoder=open_blob(how, range_reader(blob), len(blob), Manifest.of(tensors)),
            )
        )
    return found


def combined(
    recipe: Recipe,
    vectors: Tensor,
    *,
    sizes: Mapping[str, int] | None = None,
    weights: Sequence[float] | None = None,
    centre: Tensor | None = None,
    step: int = 0,
    codec: str = "none",
) -> tuple[Tensor, list[float]]:
    """The aggregate as one vector, and the shares."""
    sizes = sizes or {"x": vectors.shape[1]}
    combination = recipe.combine(
        contributions(vectors, sizes, weights=weights, codec=codec),
        sizes,
        step=step,
        centre=None if centre is None else Centre(tensors=cut(centre, sizes)),
    )
    return filled(combination, sizes), list(combination.shares)


def filled(combination: Combination, sizes: Mapping[str, int]) -> Tensor:
    totals = {name: torch.full((size,), torch.nan) for name, size in sizes.items()}
    combination.fill(totals)
    return torch.cat([totals[name] for name in sizes])
