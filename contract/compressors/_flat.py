"""What codecs share that put the values of all tensors one after another into few tensors of the blob."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from contract.compressors.base import Stored
from contract.tensors import Manifest, TensorSpec

SCALES: Final = ":scales"
# Values that are encoded at a time. So few stay in a cache; and from 2^15 on torch wakes a second thread, for which a
# busy computer makes it wait far longer than the work takes.
AT_A_TIME: Final = (1 << 15) - 1


def flat(tensor: Tensor) -> Tensor:
    """May share the tensor's memory."""
    return tensor.detach().to("cpu", torch.float32).contiguous().view(-1)


def specs_of(tensors: Mapping[str, Tensor]) -> tuple[TensorSpec, ...]:
    return Manifest.of(tensors).tensors


def starts(counts: Mapping[str, int]) -> dict[str, int]:
    """Where each one's share begins if they lie one after another."""
    return dict(zip(counts, itertools.accumulate(counts.values(), initial=0), strict=False))


def in_blocks(values: Tensor, block: int, at_a_time: int) -> Iterator[tuple[int, Tensor]]:
    """Whole blocks as rows, about `at_a_time` values of them, then the rest as one shorter row: views, each with the
    number of its first block."""
    num_blocks = values.numel() // block
    rows = values[: num_blocks * block].view(num_blocks, block)
    step = max(1, at_a_time // block)
    for first in range(0, num_blocks, step):
        yield first, rows[first : first + step]
    rest = values[num_blocks * block :]
    if rest.numel():
        yield num_blocks, rest.view(1, -1)


def scale_blocks(values: Tensor, start: int, scales: Tensor, block: int) -> None:
    """Multiply each value by the scale of its block. `values` are a tensor's from `start` on, `scales` are all of the
    tensor's."""
    stop = start + values.numel()
    head = min(-start % block, values.numel())
    if head:
        values[:head].mul_(scales[start // block])
    first, last = (start + head) // block, stop // block
    if last > first:
        body = values[head : head + (last - first) * block]
        body.view(last - first, block).mul_(scales[first:last, None])
        head += body.numel()
    if head < values.numel():
        values[head:].mul_(scales[stop // block])


def largest(magnitudes: npt.NDArray[np.float32], kept: int) -> npt.NDArray[np.intp]:
    """The places of each row's largest, ascending; of equals the first. There must be no NaN."""
    num_rows, width = magnitudes.shape
    threshold = np.partition(magnitudes, width - kept, axis=1)[:, width - kept, None]
    chosen = magnitudes >= threshold
    tied = np.flatnonzero(np.count_nonzero(chosen, axis=1) != kept)
    if tied.size:
        rows, limits = magnitudes[tied], threshold[tied]
        above, equal = rows > limits, rows == limits
        missing = kept - np.count_nonzero(above, axis=1, keepdims=True)
        chosen[tied] = above | (equal & (np.cumsum(equal, axis=1) <= missing))
    places: npt.NDArray[np.intp] = np.flatnonzero(chosen).reshape(num_rows, kept)
    places -= np.arange(num_rows)[:, None] * width
    return places


def magnitudes(values: Tensor) -> Tensor:
    """What is not a number counts as the largest, so that it is kept and seen."""
    return values.abs().nan_to_num_(nan=torch.inf, posinf=torch.inf)


def require_within(option: str, value: int, limit: int) -> None:
    if not 1 <= value <= limit:
        raise ValueError(f"{option} must be from 1 to {limit}, not {value}")


def scales_spec(manifest: Manifest, block: int, *, name: str = SCALES) -> TensorSpec:
    """One scale for each block of each tensor."""
    return TensorSpec(name=name, dtype="F32", shape=(sum(num_blocks(manifest.tensors, block).values()),))


def scales_of(stored: Stored, manifest: Manifest, block: int, *, name: str = SCALES) -> dict[str, Tensor]:
    counts = num_blocks(manifest.tensors, block)
    # All at once, and a copy: they lie far from what they scale, and what was read of a blob last may be let go.
    scales = stored.values(name, 0, sum(counts.values())).clone()
    return dict(zip(counts, torch.split(scales, list(counts.values())), strict=True))


def num_blocks(specs: Iterable[TensorSpec], block: int) -> dict[str, int]:
    return {spec.name: -(-spec.num_values // block) for spec in specs}
