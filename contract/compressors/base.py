"""How gradients travel: a codec says what a blob of it holds, writes it, and reads it piece by piece.

A codec promises that
- the blob's form follows from the run's manifest and the codec's options alone, never from the blob;
- what is read lies within `error_bound` of what was written, for every finite tensor, and a number that is not finite
  is still not finite when read, so that the admission sees it;
- what it leaves out of a tensor is, as a whole, no larger than the tensor: so what a worker keeps for the next time
  cannot grow without end;
- decoding is exact arithmetic: tables are looked up, and products and sums rounded one by one in a fixed order, so that
  every machine, however many threads it has, reads the same bits;
- any range of any tensor can be read alone, and reads the same alone as together with its neighbours;
- bytes of the right form, whatever they say, are read as numbers or refused by a BlobError;
- the same tensors and seed give the same bytes.
The conformance suite `tests/unit/test_every_codec.py` holds every codec to it.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from contract.errors import BlobError
from contract.tensors import DTYPES, Buffer, Manifest, TensorSpec

# (offset, number of bytes) -> those bytes of a blob, wherever it lies.
ReadRange = Callable[[int, int], Buffer]
Floats = npt.NDArray[np.float32]
_FLOAT: Final = np.dtype(np.float32)

# Values that are decoded at a time: a part of the usual size, and small enough for a cache to hold most of it.
CHUNK_VALUES: Final = 1 << 18


class Decoder(Protocol):
    """A gradient that stays encoded until it is looked at."""

    def read(self, name: str, start: int, stop: int) -> Tensor:
        """Values `start` to `stop` of the flattened tensor, as float32 that the caller may change."""
        ...

    def read_into(self, name: str, start: int, stop: int, out: Tensor) -> None:
        """The same into memory of the caller's: `out` is float32, flat, contiguous and of that length."""
        ...

    def add_to(self, name: str, total: Tensor, *, weight: float) -> None:
        """total += weight * tensor, where `total` is flat; a sparse codec does it without becoming dense."""
        ...

    def in_place(self, name: str, start: int, stop: int) -> Floats | None:
        """The values where they lie, not to be written to; None for a tensor that must be decoded, whatever the range.

        An array, for whoever looks at many short ranges: a tensor takes ten times as long to make."""
        ...


class Codec(Protocol):
    name: ClassVar[str]
    # What a lossless codec leaves out is nothing, so a worker need not remember it.
    lossless: ClassVar[bool]
    # Most values are read as zero, so a rule that looks at one coordinate at a time would find nothing there.
    is_sparse: ClassVar[bool]

    def suits(self, spec: TensorSpec) -> bool:
        """False for a tensor that travels whole instead, because it would be no shorter in this codec, or too poor."""
        ...

    def wire_manifest(self, manifest: Manifest) -> Manifest:
        """What `encode` makes of the tensors of `manifest`, each of which suits the codec."""
        ...

    def encode(self, tensors: Mapping[str, Tensor], *, seed: int) -> dict[str, Tensor]: ...

    def decoder(self, stored: Stored, manifest: Manifest) -> Decoder:
        """`stored` holds the tensors of `wire_manifest`, `manifest` names those that were encoded."""
        ...

    def error_bound(self, tensor: Tensor) -> Tensor:
        """How far each value may be from its original, of a shape that broadcasts to the tensor's. Of tensors that suit
        the codec."""
        ...


def range_reader(blob: Buffer) -> ReadRange:
    view = memoryview(blob).cast("B")
    return lambda offset, num_bytes: view[offset : offset + num_bytes]


class Stored:
    """The tensors of a blob where they lie. Nothing is read before it is asked for, and copied only where it must."""

    def __init__(self, read: ReadRange, manifest: Manifest) -> None:
        self._read = read
        self._specs: dict[str, TensorSpec] = {spec.name: spec for spec in manifest.tensors}
        self._offsets = manifest.offsets()

    def values(self, name: str, start: int, stop: int) -> Tensor:
        """As the blob has them. They may lie in the blob itself: whoever writes to them changes it."""
        spec = self._specs[name]
        dtype = DTYPES[spec.dtype]
        if start == stop:
            return torch.empty(0, dtype=dtype)
        found = self._array(spec, start, stop, np.dtype(np.uint8))
        # Through DLPack, because torch warns of the read-only memory that a database driver hands out.
        values = from_dlpack(found)
        # Torch reads only what is aligned.
        return (values.clone() if values.data_ptr() % spec.itemsize else values).view(dtype)

    def floats(self, name: str, start: int, stop: int) -> Floats | None:
        """The same as an array; None where the blob has other numbers."""
        spec = self._specs[name]
        if DTYPES[spec.dtype] is not torch.float32:
            return None
        if start == stop:
            return np.empty(0, dtype=np.float32)
        found = self._array(spec, start, stop, _FLOAT)
        # A part of another length than usual came before.
        return found if found.flags.aligned else found.copy()

    def _array(self, spec: TensorSpec, start: int, stop: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        size = spec.itemsize
        content = self._read(self._offsets[spec.name] + start * size, (stop - start) * size)
        if len(content) != (stop - start) * size:
            raise BlobError("cut short while it was read")
        return np.frombuffer(content, dtype=dtype)


class ChunkedDecoder(abc.ABC):
    """All that a decoder must do, for those that can fill any range."""

    @abc.abstractmethod
    def read_into(self, name: str, start: int, stop: int, out: Tensor) -> None: ...

    def in_place(self, name: str, start: int, stop: int) -> Floats | None:
        return None

    def read(self, name: str, start: int, stop: int) -> Tensor:
        found = torch.empty(stop - start, dtype=torch.float32)
        self.read_into(name, start, stop, found)
        return found

    def add_to(self, name: str, total: Tensor, *, weight: float) -> None:
        room = torch.empty(min(CHUNK_VALUES, total.numel()), dtype=torch.float32)
        for start in range(0, total.numel(), CHUNK_VALUES):
            chunk = total[start : start + CHUNK_VALUES]
            found = room[: chunk.numel()]
            self.read_into(name, start, start + chunk.numel(), found)
            chunk.add_(found, alpha=weight)
