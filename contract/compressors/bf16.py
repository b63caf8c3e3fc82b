from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Final

import torch
from torch import Tensor

from contract.compressors.base import ChunkedDecoder, Decoder, Stored
from contract.tensors import Manifest, TensorSpec

_LARGEST: Final = torch.finfo(torch.bfloat16).max


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bf16:
    """The upper half of each float32, rounded: 2 bytes, every magnitude that a float32 can have, and 8 bits of each."""

    name: ClassVar[str] = "bf16"
    lossless: ClassVar[bool] = False
    is_sparse: ClassVar[bool] = False

    def suits(self, spec: TensorSpec) -> bool:
        return spec.num_values > 0

    def wire_manifest(self, manifest: Manifest) -> Manifest:
        return Manifest(
            tensors=tuple(TensorSpec(name=spec.name, dtype="BF16", shape=spec.shape) for spec in manifest.tensors)
        )

    def encode(self, tensors: Mapping[str, Tensor], *, seed: int) -> dict[str, Tensor]:
        return {name: _rounded(tensor) for name, tensor in tensors.items()}

    def decoder(self, stored: Stored, manifest: Manifest) -> Decoder:
        return _Decoder(stored)

    def error_bound(self, tensor: Tensor) -> Tensor:
        # The last bit of 8 where the largest may not be rounded up; half the smallest step of bfloat16.
        return tensor.abs() * 2.0**-8 + 2.0**-134


class _Decoder(ChunkedDecoder):
    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    def read_into(self, name: str, start: int, stop: int, out: Tensor) -> None:
        out.copy_(self._stored.values(name, start, stop))


def _rounded(tensor: Tensor) -> Tensor:
    rounded = tensor.detach().to(torch.bfloat16)
    # The largest of float32 are rounded up to infinity; what was infinite before must stay so.
    overflown = rounded.isinf() & tensor.isfinite()
    return torch.where(overflown, torch.sign(rounded) * _LARGEST, rounded)
