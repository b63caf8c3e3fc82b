"""All inner products of a stack's vectors, in float64: from them follow every distance and every norm.

The squares of float32 do not overflow in float64, and two vectors that are near to each other and far from zero keep
half of its digits when their distance is the difference of products.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from coordinator.aggregators.base import Centre, Contribution
from coordinator.aggregators.chunks import BLOCK_VALUES, Layout, read_rows


def gram_of(contributions: Sequence[Contribution], layout: Layout, *, centre: Centre | None = None) -> Tensor:
    """n x n; with `centre` as the last of n + 1."""
    num_vectors = len(contributions) + (centre is not None)
    total = torch.zeros(num_vectors, num_vectors, dtype=torch.float64)
    values = torch.empty(num_vectors, layout.length, dtype=torch.float32)
    wide = torch.empty(num_vectors, layout.length, dtype=torch.float64)
    # A batch of products over blocks, not one product: how the library shares that out among threads would decide its
    # last bits.
    blocks = wide.view(num_vectors, -1, BLOCK_VALUES).transpose(0, 1)
    for stretch in layout.stretches():
        filled = read_rows(contributions, stretch, values)
        if centre is not None:
            for piece in stretch:
                found = centre.tensors[piece.name][piece.start : piece.stop]
                torch.mul(found, centre.factor, out=values[-1, piece.place])
        used = -(-filled // BLOCK_VALUES)
        values[:, filled : used * BLOCK_VALUES] = 0.0
        wide[:, : used * BLOCK_VALUES].copy_(values[:, : used * BLOCK_VALUES])
        total += torch.bmm(blocks[:used], blocks[:used].transpose(1, 2)).sum(0)
    # The library may add up a product and its mirror image in another order.
    return (total + total.T) / 2.0


def product(left: Tensor, right: Tensor) -> Tensor:
    """Of small matrices, added up in the order of their rows whatever the library would do."""
    total = torch.zeros(left.shape[0], right.shape[1], dtype=torch.float64)
    for inner in range(right.shape[0]):
        total += left[:, inner, None] * right[inner, None, :]
    return total


def distances_to(gram: Tensor, shares: Sequence[float]) -> Tensor:
    """How far each vector is from the sum of all, each times its share."""
    factors = torch.tensor(shares, dtype=torch.float64)
    towards = (gram * factors).sum(1)
    return (gram.diagonal() - 2.0 * towards + (towards * factors).sum()).clamp_(min=0.0).sqrt_()


def squared_distances(gram: Tensor) -> Tensor:
    """Between all pairs of vectors. None is below zero, and each vector is at its own place."""
    norms = gram.diagonal()
    distances = (norms[:, None] + norms[None, :]).sub_(gram, alpha=2.0).clamp_(min=0.0)
    return distances.fill_diagonal_(0.0)
