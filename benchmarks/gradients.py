"""Gradients as a model's are: several tensors, each with a scale of its own, most values small and a few large."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

import torch
from torch import Tensor

# Of a million values, the share of each tensor; the last takes what is left. Named so that the blob has them in order.
_SHARES: Final = {"a_embedding": 0.25, "b_attention": 0.2, "c_up": 0.25, "d_down": 0.25}
_WIDTH: Final = 1000
_BIASES: Final = 10
_SPREAD: Final = 1.0


def shapes(num_values: int) -> dict[str, tuple[int, ...]]:
    rows = {name: max(1, int(share * num_values / _WIDTH)) for name, share in _SHARES.items()}
    left = num_values - _WIDTH * sum(rows.values())
    biases = {f"e_bias_{number}": (_WIDTH,) for number in range(min(_BIASES, left // _WIDTH - 1))}
    return {
        **{name: (count, _WIDTH) for name, count in rows.items()},
        **biases,
        "f_rest": (left - _WIDTH * len(biases),),
    }


def gradients(num_values: int, *, number: int, hostile: int = 0) -> Iterator[Mapping[str, Tensor]]:
    """What they have in common, and as much noise. The `hostile` last ones point to the other side, three times."""
    generator = torch.Generator().manual_seed(num_values)
    layout = shapes(num_values)
    sizes = [math.prod(shape) for shape in layout.values()]
    # Heavy tails, because each coordinate has a spread of its own.
    spread = torch.randn(num_values, generator=generator).mul_(_SPREAD).exp_()
    for place, part in enumerate(spread.split(sizes)):
        part.mul_(10.0 ** -(1 + place % 3))
    common = torch.randn(num_values, generator=generator).mul_(spread)
    for place in range(number):
        values = torch.randn(num_values, generator=generator).mul_(spread)
        values.add_(common, alpha=-3.0 if place >= number - hostile else 1.0)
        yield {
            name: part.reshape(shape) for (name, shape), part in zip(layout.items(), values.split(sizes), strict=True)
        }
