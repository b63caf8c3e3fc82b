"""What workers are told of an update. A codec leaves something out; it is kept, and told with the next update."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Final

from torch import Tensor

from contract.deltas import Frame

# Stands among what the optimizer remembers, as one tensor for each parameter.
LEFT_OUT: Final = "left_out"


def told(
    frame: Frame,
    *,
    before: MutableMapping[str, Tensor],
    weights: Mapping[str, Tensor],
    left_out: Mapping[str, Tensor],
    seed: int,
) -> bytes:
    """`weights` were moved from `before`; now they become what everybody makes of the answer. `before` is used up.

    What was left out includes what adding up in single precision loses.
    """
    for name in frame.names:
        weights[name].sub_(before[name])
        left_out[name].add_(weights[name])
        weights[name].copy_(before[name])
    content = frame.encode(left_out, seed=seed)
    frame.apply(content, weights)
    for name in frame.names:
        left_out[name].add_(before.pop(name).sub_(weights[name]))
    return content
