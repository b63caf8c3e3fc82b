"""What follows from sums over whole vectors: the Gram matrix, distances from a centre, weighted sums."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from coordinator.aggregators.base import Centre, Contribution
from coordinator.aggregators.chunks import Layout
from coordinator.aggregators.compiled import products
from coordinator.aggregators.compiled.rows import Reader


def gram_of(contributions: Sequence[Contribution], layout: Layout) -> Tensor:
    number = len(contributions)
    sums = np.zeros((number + -number % 4, number + -number % 4))
    # Whatever was shortened is shortened afterwards: a factor is one number for the whole vector.
    reader = Reader(contributions=contributions, length=layout.length)
    for stretch in layout.stretches():
        for piece, rows in reader.pieces(stretch):
            products.add_products(products.padded(rows.addresses), piece.stop - piece.start, sums)
    upper = np.triu(sums[:number, :number])
    factors = torch.tensor([contribution.factor for contribution in contributions], dtype=torch.float64)
    return torch.from_numpy(upper + np.triu(upper, 1).T) * factors[:, None] * factors[None, :]


def distances_from(contributions: Sequence[Contribution], layout: Layout, centre: Centre | None) -> Tensor:
    """Without a centre: from zero."""
    number = len(contributions)
    squares, factors = np.zeros(number + -number % 4), np.ones(number + -number % 4, dtype=np.float32)
    factors[:number] = [contribution.factor for contribution in contributions]
    reader = Reader(contributions=contributions, length=layout.length)
    there = torch.zeros(layout.length, dtype=torch.float32)
    for stretch in layout.stretches():
        for piece, rows in reader.pieces(stretch):
            middle = there[piece.place]
            if centre is not None:
                torch.mul(centre.tensors[piece.name][piece.start : piece.stop], centre.factor, out=middle)
            products.add_squares_from(products.padded(rows.addresses), factors, middle.numpy(), squares)
    return torch.from_numpy(squares[:number]).sqrt_()


def add_weighted(
    contributions: Sequence[Contribution], shares: Sequence[float], layout: Layout, total: Tensor, *, begins: bool
) -> None:
    """All of one tensor, whose values lie in place. The same bits as one contribution after another."""
    weights = np.array(
        [share * contribution.factor for share, contribution in zip(shares, contributions, strict=True)],
        dtype=np.float32,
    )
    reader = Reader(contributions=contributions, length=layout.length)
    for stretch in layout.stretches():
        for piece, rows in reader.pieces(stretch):
            products.add_weighted(rows.addresses, weights, total[piece.start : piece.stop].numpy(), begins)
