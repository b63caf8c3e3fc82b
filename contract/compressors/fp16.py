from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Final

import torch
from torch import Tensor

from contract.compressors.base import ChunkedDecoder, Decoder, Stored
from contract.tensors import Manifest, TensorSpec

# No attribute of a module can have this name, so no parameter has it.
_SCALES: Final = ":scales"
# The largest magnitude of a tensor is brought into [2^14, 2^15): as high as half precision goes with room to round up.
_HIGHEST_EXPONENT: Final = 15
# The last half below 2^15. Rounded up to 2^15, the largest float32 would come back as infinity.
_LARGEST: Final = 32752.0
# Powers of two outside are no normal numbers in float32.
_SCALE_EXPONENTS: Final = (-126, 127)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fp16:
    """Half precision, 2 bytes. Each tensor is first scaled by a power of two, so that neither the tiny gradients of a
    late layer vanish nor large ones overflow: 11 bits for every value within 2^-28 of the tensor's largest."""

    name: ClassVar[str] = "fp16"
    lossless: ClassVar[bool] = False
    is_sparse: ClassVar[bool] = False

    def suits(self, spec: TensorSpec) -> bool:
        # Its scale takes 4 bytes.
        return spec.num_values > 2

    def wire_manifest(self, manifest: Manifest) -> Manifest:
        halves = [TensorSpec(name=spec.name, dtype="F16", shape=spec.shape) for spec in manifest.tensors]
        scales = TensorSpec(name=_SCALES, dtype="F32", shape=(len(halves),))
        return Manifest(tensors=(*halves, scales))

    def encode(self, tensors: Mapping[str, Tensor], *, seed: int) -> dict[str, Tensor]:
        halves: dict[str, Tensor] = {}
        scales: list[Tensor] = []
        for name, tensor in tensors.items():
            halves[name], scale = _halved(tensor)
            scales.append(scale)
        return {**halves, _SCALES: torch.stack(scales)}

    def decoder(self, stored: Stored, manifest: Manifest) -> Decoder:
        return _Decoder(stored, manifest)

    def error_bound(self, tensor: Tensor) -> Tensor:
        # Half a unit in the last of 11 bits; below the smallest normal half, half of 2^-24 over 2^14; and where the
        # scale is at the end of its range, the smallest step of float32.
        return tensor.abs() * 2.0**-11 + 2.0**-39 * tensor.abs().amax() + 2.0**-149


class _Decoder(ChunkedDecoder):
    def __init__(self, stored: Stored, manifest: Manifest) -> None:
        self._stored = stored
        scales = stored.values(_SCALES, 0, len(manifest.names)).tolist()
        self._scales = dict(zip(manifest.names, scales, strict=True))

    def read_into(self, name: str, start: int, stop: int, out: Tensor) -> None:
        out.copy_(self._stored.values(name, start, stop)).mul_(self._scales[name])


def _halved(tensor: Tensor) -> tuple[Tensor, Tensor]:
    largest = tensor.detach().abs().amax()
    # Of zero and of what is not finite the exponent says nothing; such a tensor goes as it is.
    usable = torch.isfinite(largest) & (largest > 0)
    exponent = torch.frexp(largest).exponent - _HIGHEST_EXPONENT
    exponent = torch.where(usable, exponent, 0).clamp(*_SCALE_EXPONENTS)
    scale = torch.ldexp(torch.ones_like(largest), exponent)
    limit = torch.where(usable, _LARGEST, torch.inf).to(largest.dtype)
    return (tensor / scale).clamp(-limit, limit).to(torch.float16), scale
