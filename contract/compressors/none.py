from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from contract.compressors.base import Decoder, DenseDecoder, ReadRange
from contract.tensors import Manifest


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """Every value as it is: 4 bytes."""

    name: ClassVar[str] = "none"
    lossless: ClassVar[bool] = True

    def blob_manifest(self, manifest: Manifest) -> Manifest:
        return manifest

    def encode(self, tensors: Mapping[str, Tensor], *, seed: int) -> dict[str, Tensor]:
        return dict(tensors)

    def decoder(self, read: ReadRange, manifest: Manifest) -> Decoder:
        return _Decoder(read, manifest)

    def error_bound(self, tensor: Tensor) -> Tensor:
        return torch.zeros(())


class _Decoder(DenseDecoder):
    def read(self, name: str, start: int, stop: int) -> Tensor:
        return self.stored(name, start, stop)
