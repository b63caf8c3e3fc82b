from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Final

import numpy as np
import torch
from torch import Tensor

from contract.compressors._flat import (
    AT_A_TIME,
    SCALES,
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
_LARGEST_BLOCK: Final = 1 << 20
# What each byte says of eight values: a set bit is a minus.
_SPREAD: Final = torch.from_numpy(
    1.0 - 2.0 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").astype(np.float32)
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """One bit for each value, its sign, and for each block the mean magnitude of its values."""

    name: ClassVar[str] = "sign"
    lossless: ClassVar[bool] = False
    is_sparse: ClassVar[bool] = False
    block: int = 1024

    def __post_init__(self) -> None:
        require_within("block", self.block, _LARGEST_BLOCK)

    def suits(self, spec: TensorSpec) -> bool:
        return -(-spec.num_values // 8) + 4 * -(-spec.num_values // self.block) < 4 * spec.num_values

    def wire_manifest(self, manifest: Manifest) -> Manifest:
        num_bytes = sum(num_blocks(manifest.tensors, 8).values())
        return Manifest(
            tensors=(
                TensorSpec(name=_SIGNS, dtype="U8", shape=(num_bytes,)),
                scales_spec(manifest, self.block),
            )
        )

    def encode(self, tensors: Mapping[str, Tensor], *, seed: int) -> dict[str, Tensor]:
        signs = [
            torch.from_numpy(np.packbits(np.signbit(flat(tensor).numpy()), bitorder="little"))
            for tensor in tensors.values()
        ]
        scales = [
            _means(rows) for tensor in tensors.values() for _, rows in in_blocks(flat(tensor), self.block, AT_A_TIME)
        ]
        return {_SIGNS: torch.cat(signs), SCALES: torch.cat(scales)}

    def decoder(self, stored: Stored, manifest: Manifest) -> Decoder:
        return _Decoder(stored, manifest, self.block)

    def error_bound(self, tensor: Tensor) -> Tensor:
        # Both have the same sign, so the larger is as far as they can be apart.
        bound = tensor.abs().reshape(-1).clone()
        for first, rows in in_blocks(bound.clone(), self.block, AT_A_TIME):
            at = first * self.block
            bound[at : at + rows.numel()].view(rows.shape).clamp_(min=_means(rows)[:, None])
        return bound.view(tensor.shape)


class _Decoder(ChunkedDecoder):
    def __init__(self, stored: Stored, manifest: Manifest, block: int) -> None:
        self._stored = stored
        self._block = block
        self._starts = starts(num_blocks(manifest.tensors, 8))
        self._scales = scales_of(stored, manifest, block)

    def read_into(self, name: str, start: int, stop: int, out: Tensor) -> None:
        at, first, last = self._starts[name], start // 8, -(-stop // 8)
        signs = self._stored.values(_SIGNS, at + first, at + last)
        spread = torch.index_select(_SPREAD, 0, signs.int()).view(-1)
        out.copy_(spread[start - 8 * first : stop - 8 * first])
        scale_blocks(out, start, self._scales[name], self._block)


def _means(rows: Tensor) -> Tensor:
    # In double precision: the sum of a few of the largest float32 is beyond them.
    return torch.mean(rows.abs(), dim=1, dtype=torch.float64).to(torch.float32)
