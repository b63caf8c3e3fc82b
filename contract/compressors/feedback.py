"""What a lossy codec leaves out is sent later: it is added to the next gradient (error feedback).

    e <- decay * e + g        send C(e)        e <- e - what the receiver decodes

It is here, and not with the worker, because `train-local` promises the bits of a run with one worker: were there two
homes of these lines, the promise would break on the day they differ.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Final

import torch
from torch import Tensor

from contract.compressors.base import CHUNK_VALUES, Codec, range_reader
from contract.compressors.blobs import encoded, open_blob
from contract.ids import Version
from contract.tensors import Manifest

# What is held back for gradients whose fate is not known yet; one is held however large it is.
_UNSETTLED_BYTES: Final = 256 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Residue:
    """What was left out up to a gradient of `version`. Its tensors are replaced, never changed: another thread may
    write them down meanwhile."""

    version: Version
    tensors: Mapping[str, Tensor]


@dataclasses.dataclass(slots=True, kw_only=True)
class _Unsettled:
    before: Residue | None
    # The share of `before` that went into the gradient.
    kept: float
    after: Residue | None
    # What the decays since have left of a change that is made now.
    since: float = 1.0


class Feedback:
    """The memory of one sender. `buffers` are values and not directions: what a codec leaves out of them is no debt."""

    def __init__(
        self,
        *,
        manifest: Manifest,
        buffers: tuple[str, ...],
        decay: float,
        max_age: int,
        residue: Residue | None = None,
    ) -> None:
        self._manifest = manifest
        self._buffers = buffers
        self._names = [name for name in manifest.names if name not in buffers]
        self._decay = decay
        self._max_age = max_age
        self._unsettled: dict[Hashable, _Unsettled] = {}
        self.residue = residue

    def encoded(
        self, codec: Codec, tensors: Mapping[str, Tensor], *, seed: int, version: Version, sent_as: Hashable
    ) -> bytes:
        """The blob of a gradient at `version`, with what earlier ones left out."""
        before, kept = self._carried(version)
        is_simple = codec.lossless and before is None
        if is_simple or not all(bool(torch.isfinite(tensors[name]).all()) for name in self._names):
            # What is not finite will be refused, and must not stay in the memory.
            return encoded(codec, tensors, seed=seed, whole=self._buffers)
        whole = {**tensors, **{name: _sum(tensors[name], before, kept, name) for name in self._names}}
        blob = encoded(codec, whole, seed=seed, whole=self._buffers)
        self._take_note(sent_as, self._left_out(codec, blob, whole, version), kept)
        return blob

    def give_back(self, sent_as: Hashable) -> None:
        """The gradient was not used, and its samples will be computed again: as if it had not been sent."""
        unsettled = self._unsettled.pop(sent_as, None)
        if unsettled is None:
            return
        before, after, latest = unsettled.before, unsettled.after, self.residue
        if after is latest:
            self.residue = before
            for earlier in self._unsettled.values():
                earlier.since /= unsettled.kept or 1.0
            return
        # Later gradients were sent with what this one left out, and not with what was there before it.
        since = unsettled.since
        shares = [(latest, 1.0), (before, since * unsettled.kept), (after, -since)]
        parts = [(residue, share) for residue, share in shares if residue is not None]
        tensors = {}
        for name in self._names:
            (first, share), *others = ((residue.tensors[name], share) for residue, share in parts)
            tensors[name] = first * share
            for tensor, share in others:
                tensors[name].add_(tensor, alpha=share)
        self.residue = Residue(version=parts[0][0].version, tensors=tensors)

    def settle(self, sent_as: Hashable) -> None:
        """The gradient moved the model."""
        self._unsettled.pop(sent_as, None)

    def _carried(self, version: Version) -> tuple[Residue | None, float]:
        """What goes into a gradient at `version`, and which share of it."""
        if self.residue is None:
            return None, 0.0
        age = version - self.residue.version
        if age > self._max_age:
            return None, 0.0
        return self.residue, self._decay ** max(1, age)

    def _left_out(self, codec: Codec, blob: bytes, whole: Mapping[str, Tensor], version: Version) -> Residue | None:
        if codec.lossless:
            return None
        decoder = open_blob(codec, range_reader(blob), len(blob), self._manifest, whole=self._buffers)
        read = torch.empty(CHUNK_VALUES)
        for name in self._names:
            flat = whole[name].view(-1)
            for start in range(0, flat.numel(), CHUNK_VALUES):
                stop = min(start + CHUNK_VALUES, flat.numel())
                decoder.read_into(name, start, stop, read[: stop - start])
                flat[start:stop].sub_(read[: stop - start])
        return Residue(version=version, tensors={name: whole[name] for name in self._names})

    def _take_note(self, sent_as: Hashable, after: Residue | None, kept: float) -> None:
        for unsettled in self._unsettled.values():
            unsettled.since *= kept
        self._unsettled[sent_as] = _Unsettled(before=self.residue, kept=kept, after=after)
        num_bytes = sum(spec.num_bytes for spec in self._manifest.tensors if spec.name in self._names)
        while len(self._unsettled) > 1 and len(self._unsettled) * num_bytes > _UNSETTLED_BYTES:
            del self._unsettled[next(iter(self._unsettled))]
        self.residue = after


def _sum(gradient: Tensor, before: Residue | None, kept: float, name: str) -> Tensor:
    own = gradient.detach().cpu().to(torch.float32)
    if before is None:
        return own.clone(memory_format=torch.contiguous_format)
    return torch.add(own.contiguous(), before.tensors[name], alpha=kept)
