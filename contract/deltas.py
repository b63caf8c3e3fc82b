"""What leads from one version to the next: the coordinator's own update in a codec, and buffers as they are.

Coordinator and workers add the same decoded numbers to the same weights, so they agree to the last bit. A delta is a
row of frames, one for the tensors that are stepped at a time; its length follows from workload and codec alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Self

from torch import Tensor

from contract.compressors import CODECS, Codec, blob_manifest, encoded, open_blob, range_reader
from contract.errors import BlobError
from contract.tensors import Buffer, Manifest
from contract.workloads.base import Workload

# The name that means: every version travels whole.
NO_DELTAS: Final = "none"
# 16 MB, or one tensor that is larger: what is aggregated before the optimizer takes it.
_SLAB_VALUES: Final = 1 << 22


def slabs(sizes: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    """Neighbours in a blob, which is laid out by name, so that reading a slab is reading on."""
    slab: list[str] = []
    num_values = 0
    for name in sorted(sizes):
        if slab and num_values + sizes[name] > _SLAB_VALUES:
            yield tuple(slab)
            slab, num_values = [], 0
        slab.append(name)
        num_values += sizes[name]
    yield tuple(slab)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Parameters are moved by what a frame says, buffers are replaced by it."""

    manifest: Manifest
    codec: Codec
    replaces: bool
    num_bytes: int

    @property
    def names(self) -> tuple[str, ...]:
        return self.manifest.names

    def encode(self, tensors: Mapping[str, Tensor], *, seed: int) -> bytes:
        return encoded(self.codec, {name: tensors[name] for name in self.names}, seed=seed)

    def apply(self, content: Buffer, weights: Mapping[str, Tensor]) -> None:
        """BlobError where the frame has another form than workload and codec imply."""
        decoder = open_blob(self.codec, range_reader(content), len(content), self.manifest)
        for name in self.names:
            flat = weights[name].view(-1)
            if self.replaces:
                decoder.read_into(name, 0, flat.numel(), flat)
            else:
                decoder.add_to(name, flat, weight=1.0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DeltaForm:
    """The frames of every delta of a run, in their order, and the name of the codec that its parameters have."""

    codec: str
    frames: tuple[Frame, ...]

    @classmethod
    def of(cls, workload: Workload, codec: str, options: Mapping[str, object]) -> Self | None:
        """None where versions travel whole."""
        if codec == NO_DELTAS:
            return None
        chosen, exact = CODECS.build(codec, options), CODECS.build("none")
        specs = {spec.name: spec for spec in workload.manifest().tensors}

        def frames(names: Sequence[str], how: Codec, *, replaces: bool) -> Iterator[Frame]:
            for slab in slabs({name: specs[name].num_values for name in names}):
                manifest = Manifest(tensors=tuple(specs[name] for name in slab))
                yield Frame(
                    manifest=manifest, codec=how, replaces=replaces, num_bytes=blob_manifest(how, manifest).blob_bytes
                )

        rows = [*(frames(group.parameters, chosen, replaces=False) for group in workload.groups())]
        if workload.buffers():
            rows.append(frames(workload.buffers(), exact, replaces=True))
        return cls(codec=codec, frames=tuple(frame for row in rows for frame in row))

    @property
    def num_bytes(self) -> int:
        return sum(frame.num_bytes for frame in self.frames)

    def apply(self, delta: Buffer, weights: Mapping[str, Tensor]) -> None:
        """The weights of a version become those of the next, in place; after a BlobError they are neither."""
        content = memoryview(delta).cast("B")
        if content.nbytes != self.num_bytes:
            raise BlobError(f"a delta has {content.nbytes} bytes, of the {self.num_bytes} that the run's codec makes")
        begin = 0
        for frame in self.frames:
            end = begin + frame.num_bytes
            frame.apply(content[begin:end], weights)
            begin = end
