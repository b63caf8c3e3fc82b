"""A gradient <-> one blob: what suits the codec is coded, the rest travels whole beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from torch import Tensor

from contract.compressors.base import Codec, Decoder, Floats, ReadRange, Stored
from contract.compressors.none import Whole
from contract.tensors import BlobFault, Manifest, TensorSpec, pack

_WHOLE: Final = Whole()


def blob_manifest(codec: Codec, manifest: Manifest, *, whole: Collection[str] = ()) -> Manifest:
    """What the blob holds. `whole` names the tensors that are values and not directions, as a model's buffers are:
    half a variance is no variance, and nothing of it can be sent later."""
    coded, uncoded = _parted(codec, manifest, whole)
    wire = codec.wire_manifest(coded).tensors if coded.tensors else ()
    return Manifest(tensors=(*wire, *uncoded.tensors))


def encoded(codec: Codec, tensors: Mapping[str, Tensor], *, seed: int, whole: Collection[str] = ()) -> bytes:
    coded, uncoded = _parted(codec, Manifest.of(tensors), whole)
    wire = codec.encode({name: tensors[name] for name in coded.names}, seed=seed) if coded.tensors else {}
    return pack(wire | _WHOLE.encode({name: tensors[name] for name in uncoded.names}, seed=seed))


def open_blob(
    codec: Codec, read: ReadRange, num_bytes: int, manifest: Manifest, *, whole: Collection[str] = ()
) -> Decoder:
    """BlobError unless the blob has the form that codec and manifest imply; no number of it is looked at."""
    expected = blob_manifest(codec, manifest, whole=whole)
    header = expected.header()
    total = len(header) + expected.num_bytes
    if num_bytes < total:
        raise BlobFault.TOO_SHORT.error(num_bytes=num_bytes, expected=total)
    if num_bytes > total:
        raise BlobFault.TRAILING.error(surplus=num_bytes - total)
    if bytes(read(0, len(header))) != header:
        raise BlobFault.OTHER_LAYOUT.error()
    stored = Stored(read, expected)
    coded, uncoded = _parted(codec, manifest, whole)
    if not uncoded.tensors:
        return codec.decoder(stored, coded)
    decoders = dict.fromkeys(uncoded.names, _WHOLE.decoder(stored, uncoded))
    if coded.tensors:
        decoders |= dict.fromkeys(coded.names, codec.decoder(stored, coded))
    return _Parted(decoders)


def _parted(codec: Codec, manifest: Manifest, whole: Collection[str]) -> tuple[Manifest, Manifest]:
    coded: list[TensorSpec] = []
    uncoded: list[TensorSpec] = []
    for spec in manifest.tensors:
        (coded if spec.name not in whole and codec.suits(spec) else uncoded).append(spec)
    return Manifest(tensors=tuple(coded)), Manifest(tensors=tuple(uncoded))


class _Parted:
    def __init__(self, decoders: Mapping[str, Decoder]) -> None:
        self._decoders = decoders

    def read(self, name: str, start: int, stop: int) -> Tensor:
        return self._decoders[name].read(name, start, stop)

    def read_into(self, name: str, start: int, stop: int, out: Tensor) -> None:
        self._decoders[name].read_into(name, start, stop, out)

    def in_place(self, name: str, start: int, stop: int) -> Floats | None:
        return self._decoders[name].in_place(name, start, stop)

    def add_to(self, name: str, total: Tensor, *, weight: float) -> None:
        self._decoders[name].add_to(name, total, weight=weight)
