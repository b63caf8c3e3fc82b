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
    specs_of,
    starts,
)
from contract.compressors.base import ChunkedDecoder, Decoder, Stored
from contract.tensors import Manifest, TensorSpec

_CODES: Final = ":codes"
_STEPS: Final = 127
# Rounded towards zero, so that the largest value of a block is never beyond it when read, not even the largest float32.
_SHARE: Final = float(np.nextafter(np.float32(1 / _STEPS), np.float32(0)))
# Its reciprocal is finite.
_SMALLEST_SCALE: Final = 2.0**-126
_LARGEST_BLOCK: Final = 4096


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Int8:
    """One byte for each value, and one scale for each block: its largest magnitude over 127. A value between two steps
    is rounded to either, the nearer the likelier, so that what is read is right on average."""

    name: ClassVar[str] = "int8"
    lossless: ClassVar[bool] = False
    is_sparse: ClassVar[bool] = False
    block: int = 256

    def __post_init__(self) -> None:
        require_within("block", self.block, _LARGEST_BLOCK)

    def suits(self, spec: TensorSpec) -> bool:
        return spec.num_values + 4 * -(-spec.num_values // self.block) < 4 * spec.num_values

    def wire_manifest(self, manifest: Manifest) -> Manifest:
        return Manifest(
            tensors=(
                TensorSpec(name=_CODES, dtype="I8", shape=(manifest.num_values,)),
                scales_spec(manifest, self.block),
            )
        )

    def encode(self, tensors: Mapping[str, Tensor], *, seed: int) -> dict[str, Tensor]:
        counts = num_blocks(specs_of(tensors), self.block)
        codes = [torch.empty(tensor.numel(), dtype=torch.int8) for tensor in tensors.values()]
        scales = [torch.empty(count) for count in counts.values()]
        dice = np.random.Generator(np.random.SFC64(seed))
        room = torch.empty(max(AT_A_TIME, self.block))
        for tensor, its_codes, its_scales in zip(tensors.values(), codes, scales, strict=True):
            for first, rows in in_blocks(flat(tensor), self.block, AT_A_TIME):
                scale = its_scales[first : first + len(rows)]
                torch.amax(rows.abs(), dim=1, out=scale)
                scale.mul_(_SHARE).clamp_(min=_SMALLEST_SCALE)
                steps = room[: rows.numel()]
                dice.random(out=steps.numpy(), dtype=np.float32)
                # Where the scale is not finite neither is what will be read, whatever the code.
                steps.add_((rows * scale.reciprocal()[:, None]).view(-1)).floor_()
                steps.nan_to_num_(nan=0.0).clamp_(-_STEPS, _STEPS)
                at = first * self.block
                its_codes[at : at + steps.numel()].copy_(steps)
        return {_CODES: torch.cat(codes), SCALES: torch.cat(scales)}

    def decoder(self, stored: Stored, manifest: Manifest) -> Decoder:
        return _Decoder(stored, manifest, self.block)

    def error_bound(self, tensor: Tensor) -> Tensor:
        # Rounding is by less than one step; the factor is for the arithmetic around it.
        bound = torch.empty(tensor.numel())
        for first, rows in in_blocks(flat(tensor), self.block, AT_A_TIME):
            at = first * self.block
            steps = rows.abs().amax(dim=1, keepdim=True) / _STEPS * (1 + 1e-4) + _SMALLEST_SCALE
            bound[at : at + rows.numel()].view(rows.shape).copy_(steps)
        return bound.view(tensor.shape)


class _Decoder(ChunkedDecoder):
    def __init__(self, stored: Stored, manifest: Manifest, block: int) -> None:
        self._stored = stored
        self._block = block
        self._starts = starts({spec.name: spec.num_values for spec in manifest.tensors})
        self._scales = scales_of(stored, manifest, block)

    def read_into(self, name: str, start: int, stop: int, out: Tensor) -> None:
        at = self._starts[name]
        out.copy_(self._stored.values(_CODES, at + start, at + stop))
        scale_blocks(out, start, self._scales[name], self._block)
