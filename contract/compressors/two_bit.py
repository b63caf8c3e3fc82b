from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Final

import numpy as np
import torch
from torch import Tensor

from contract.compressors._flat import (
    AT_A_TIME,
    flat,
    in_blocks,
    num_blocks,
    require_within,
    scale_blocks,
    scales_of,
    scales_spec,
    starts,
)
from contract.compressors.base import ChunkedDecoder, Decoder, Stored
from contract.tensors import Manifest, TensorSpec

_SIGNS: Final = ":signs"
_LARGE: Final = ":large"
_SMALL_SCALES: Final = ":small_scales"
_LARGE_SCALES: Final = ":large_scales"
_LARGEST_BLOCK: Final = 1 << 20
# What each byte says of eight values, by the bits of a plane.
_BITS: Final = torch.from_numpy(
    np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").astype(np.float32)
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TwoBit:
    """Two bits for each value: its sign, and whether it is larger than the mean of its block. A block has two
    magnitudes, the mean of the larger values and that of the others."""

    name: ClassVar[str] = "two_bit"
    lossless: ClassVar[bool] = False
    is_sparse: ClassVar[bool] = False
    block: int = 1024

    def __post_init__(self) -> None:
        require_within("block", self.block, _LARGEST_BLOCK)

    def suits(self, spec: TensorSpec) -> bool:
        return 2 * -(-spec.num_values // 8) + 8 * -(-spec.num_values // self.block) < 4 * spec.num_values

    def wire_manifest(self, manifest: Manifest) -> Manifest:
        num_bytes = sum(num_blocks(manifest.tensors, 8).values())
        return Manifest(
            tensors=(
                *(TensorSpec(name=plane, dtype="U8", shape=(num_bytes,)) for plane in (_SIGNS, _LARGE)),
                *(scales_spec(manifest, self.block, name=scales) for scales in (_SMALL_SCALES, _LARGE_SCALES)),
            )
        )

    def encode(self, tensors: Mapping[str, Tensor], *, seed: int) -> dict[str, Tensor]:
        signs, large, small_scales, large_scales = [], [], [], []
        for tensor in tensors.values():
            values = flat(tensor)
            is_large = torch.empty(values.shape, dtype=torch.bool)
            for first, rows in in_blocks(values, self.block, AT_A_TIME):
                among, small, high = _parted(rows)
                at = first * self.block
                is_large[at : at + rows.numel()].view(rows.shape).copy_(among)
                small_scales.append(small)
                large_scales.append(high)
            signs.append(_packed(np.signbit(values.numpy())))
            large.append(_packed(is_large.numpy()))
        return {
            _SIGNS: torch.cat(signs),
            _LARGE: torch.cat(large),
            _SMALL_SCALES: torch.cat(small_scales),
            _LARGE_SCALES: torch.cat(large_scales),
        }

    def decoder(self, stored: Stored, manifest: Manifest) -> Decoder:
        return _Decoder(stored, manifest, self.block)

    def error_bound(self, tensor: Tensor) -> Tensor:
        # Both have the same sign, so the larger is as far as they can be apart.
        bound = tensor.abs().reshape(-1).clone()
        for first, rows in in_blocks(bound.clone(), self.block, AT_A_TIME):
            _, small, high = _parted(rows)
            at = first * self.block
            bound[at : at + rows.numel()].view(rows.shape).clamp_(min=torch.maximum(small, high)[:, None])
        return bound.view(tensor.shape)


class _Decoder(ChunkedDecoder):
    def __init__(self, stored: Stored, manifest: Manifest, block: int) -> None:
        self._stored = stored
        self._block = block
        self._starts = starts(num_blocks(manifest.tensors, 8))
        self._small = scales_of(stored, manifest, block, name=_SMALL_SCALES)
        self._large = scales_of(stored, manifest, block, name=_LARGE_SCALES)

    def read_into(self, name: str, start: int, stop: int, out: Tensor) -> None:
        large = self._bits(_LARGE, name, start, stop)
        # One of the two is zero everywhere, so their sum is exact.
        out.fill_(1.0).sub_(large)
        scale_blocks(out, start, self._small[name], self._block)
        scale_blocks(large, start, self._large[name], self._block)
        out.add_(large).mul_(self._bits(_SIGNS, name, start, stop).mul_(-2.0).add_(1.0))

    def _bits(self, plane: str, name: str, start: int, stop: int) -> Tensor:
        at, first, last = self._starts[name], start // 8, -(-stop // 8)
        found = self._stored.values(plane, at + first, at + last)
        return torch.index_select(_BITS, 0, found.int()).view(-1)[start - 8 * first : stop - 8 * first]


def _parted(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which of each row's values are large, and the mean magnitudes of the small and of the large ones."""
    is_large, small, large = _means(rows.abs())
    if not (torch.isfinite(small).all() and torch.isfinite(large).all()):
        # The sum of a few of the largest float32 is beyond them. What is not a number stays so.
        is_large, small, large = _means(rows.abs().to(torch.float64))
    return is_large, small.to(torch.float32), large.to(torch.float32)


def _means(magnitudes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`magnitudes` are used up."""
    width = magnitudes.shape[1]
    is_large = magnitudes > (magnitudes.sum(dim=1) / width)[:, None]
    num_large = torch.count_nonzero(is_large, dim=1)
    large = magnitudes * is_large
    of_small = magnitudes.sub_(large).sum(dim=1)
    # A mean that was rounded down may leave nothing below it.
    return is_large, of_small / (width - num_large).clamp(min=1), large.sum(dim=1) / num_large.clamp(min=1)


def _packed(bits: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Tensor:
    return torch.from_numpy(np.packbits(bits, bitorder="little"))
