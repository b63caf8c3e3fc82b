from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from contract.compressors.base import CHUNK_VALUES, ChunkedDecoder, Decoder, Floats, Stored
from contract.tensors import Manifest, TensorSpec


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """Every value as it is: 4 bytes."""

    name: ClassVar[str] = "none"
    lossless: ClassVar[bool] = True
    is_sparse: ClassVar[bool] = False

    def suits(self, spec: TensorSpec) -> bool:
        return True

    def wire_manifest(self, manifest: Manifest) -> Manifest:
        return manifest

    def encode(self, tensors: Mapping[str, Tensor], *, seed: int) -> dict[str, Tensor]:
        return dict(tensors)

    def decoder(self, stored: Stored, manifest: Manifest) -> Decoder:
        return _Decoder(stored)

    def error_bound(self, tensor: Tensor) -> Tensor:
        return torch.zeros(())


class _Decoder(ChunkedDecoder):
    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    def in_place(self, name: str, start: int, stop: int) -> Floats | None:
        return self._stored.floats(name, start, stop)

    def read_into(self, name: str, start: int, stop: int, out: Tensor) -> None:
        out.copy_(self._stored.values(name, start, stop))

    def add_to(self, name: str, total: Tensor, *, weight: float) -> None:
        for start in range(0, total.numel(), CHUNK_VALUES):
            chunk = total[start : start + CHUNK_VALUES]
            chunk.add_(self._stored.values(name, start, start + chunk.numel()), alpha=weight)
