from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from contract.compressors._flat import flat, largest, magnitudes, specs_of, starts
from contract.compressors.base import ChunkedDecoder, Decoder, Stored
from contract.errors import BlobError
from contract.tensors import Manifest, TensorSpec

_PLACES: Final = ":places"
_VALUES: Final = ":values"
# A bias of a hundred values would be sent one at a time; so many more cost next to nothing.
_FEWEST: Final = 32
_MOST_VALUES: Final = 2**31 - 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TopK:
    """Of each tensor the values of largest magnitude, as they are, with their places: 8 bytes for each that is kept."""

    name: ClassVar[str] = "topk"
    lossless: ClassVar[bool] = False
    is_sparse: ClassVar[bool] = True
    ratio: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1:
            raise ValueError(f"ratio must be above 0 and at most 1, not {self.ratio}")

    def suits(self, spec: TensorSpec) -> bool:
        return 2 * self._num_kept(spec) < spec.num_values <= _MOST_VALUES

    def wire_manifest(self, manifest: Manifest) -> Manifest:
        num_kept = sum(map(self._num_kept, manifest.tensors))
        return Manifest(
            tensors=(
                TensorSpec(name=_PLACES, dtype="I32", shape=(num_kept,)),
                TensorSpec(name=_VALUES, dtype="F32", shape=(num_kept,)),
            )
        )

    def encode(self, tensors: Mapping[str, Tensor], *, seed: int) -> dict[str, Tensor]:
        places: list[Tensor] = []
        values: list[Tensor] = []
        for spec in specs_of(tensors):
            whole = flat(tensors[spec.name])
            kept = torch.from_numpy(largest(magnitudes(whole).numpy()[None], self._num_kept(spec))[0])
            places.append(kept.int())
            values.append(whole[kept])
        return {_PLACES: torch.cat(places), _VALUES: torch.cat(values)}

    def decoder(self, stored: Stored, manifest: Manifest) -> Decoder:
        return _Decoder(stored, manifest, {spec.name: self._num_kept(spec) for spec in manifest.tensors})

    def error_bound(self, tensor: Tensor) -> Tensor:
        [spec] = specs_of({"x": tensor})
        found = tensor.abs().reshape(-1)
        kept = found.topk(self._num_kept(spec))
        # Of values equal to the smallest that is kept, any may be left out.
        return torch.where(found > kept.values[-1], 0.0, found).view(tensor.shape)

    def _num_kept(self, spec: TensorSpec) -> int:
        return min(spec.num_values, max(_FEWEST, math.ceil(self.ratio * spec.num_values)))


class _Decoder(ChunkedDecoder):
    def __init__(self, stored: Stored, manifest: Manifest, num_kept: Mapping[str, int]) -> None:
        self._stored = stored
        self._sizes = {spec.name: spec.num_values for spec in manifest.tensors}
        self._num_kept = num_kept
        self._starts = starts(num_kept)
        # Of the tensor that was read last: whoever reads one piece after another looks for each among its places.
        self._latest: tuple[str, npt.NDArray[np.int32]] = ("", np.empty(0, np.int32))

    def read_into(self, name: str, start: int, stop: int, out: Tensor) -> None:
        places, values = self._kept(name, start, stop)
        out.zero_().scatter_(0, places - start, values)

    def add_to(self, name: str, total: Tensor, *, weight: float) -> None:
        places, values = self._kept(name, 0, total.numel())
        total.index_add_(0, places, values, alpha=weight)

    def _kept(self, name: str, start: int, stop: int) -> tuple[Tensor, Tensor]:
        places = self._places(name)
        first, last = (int(place) for place in np.searchsorted(places, (start, stop)))
        at = self._starts[name]
        return torch.from_numpy(places[first:last]).long(), self._stored.values(_VALUES, at + first, at + last)

    def _places(self, name: str) -> npt.NDArray[np.int32]:
        latest, places = self._latest
        if latest != name:
            at = self._starts[name]
            places = self._stored.values(_PLACES, at, at + self._num_kept[name]).numpy().copy()
            if places[0] < 0 or places[-1] >= self._sizes[name] or bool((places[1:] <= places[:-1]).any()):
                raise BlobError(f"the places of the values of {name} are not ascending within the tensor")
            self._latest = (name, places)
        return places
