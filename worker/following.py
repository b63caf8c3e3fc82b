"""From version to version: whoever has one fetches what leads to the next, or all of it where that is less."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from contract.deltas import DeltaForm
from contract.errors import BlobError
from contract.ids import Version
from contract.tensors import Manifest, sha256, unpack
from worker.cache import VersionCache
from worker.ledger import Leg
from worker.retrying import StoppedError

_LOOKS_EVERY_SECONDS: Final = 0.2


class Library(Protocol):
    """Where versions are fetched from."""

    def way(self, version: Version, *, have: Version | None) -> Sequence[Leg]: ...

    def part(self, leg: Leg, number: int) -> bytes | None: ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    version: Version
    blob: bytearray


class Follower:
    """Where versions travel as deltas, it keeps the weights it has and lends them: the next delta moves them in place,
    once whoever borrowed them has called `returned`. Without deltas a version is handed over for good."""

    def __init__(
        self,
        cache: VersionCache,
        manifest: Manifest,
        deltas: DeltaForm | None,
        *,
        stop: threading.Event,
        fetched: Callable[[Version, int], None],
    ) -> None:
        self._cache = cache
        self._manifest = manifest
        self._deltas = deltas
        self._stop = stop
        self._held: _Held | None = None
        self._is_returned = threading.Event()
        self._is_returned.set()
        self._report_fetched = fetched

    def weights(self, version: Version, library: Library) -> bytearray | None:
        """None when the version was pruned meanwhile."""
        had_some = self._held is not None
        try:
            blob = self._brought_to(version, library)
        except BlobError:
            self._held = None
            if not had_some:
                raise
            # Something went wrong on the way here, perhaps long ago: from the beginning, once.
            blob = self._brought_to(version, library)
        if blob is not None and self._deltas is not None:
            self._is_returned.clear()
        return blob

    def returned(self) -> None:
        """The weights that were lent have been read, or nobody wants them any more."""
        self._is_returned.set()

    def _brought_to(self, version: Version, library: Library) -> bytearray | None:
        if self._held is not None and self._held.version == version:
            return self._held.blob
        legs = library.way(version, have=self._held.version if self._held is not None else None)
        if not legs:
            return None
        if [leg.version for leg in legs] != list(range(version - len(legs) + 1, version + 1)):
            raise BlobError(f"the way to version {version} that the ledger names leads elsewhere")
        if legs[0].kind == "weights":
            # Before the others come, so that there are not two.
            self._held = None
            legs = self._from_disk(legs)
        for leg in legs:
            if not self._go(leg, library):
                return None
        held = self._held
        assert held is not None
        if len(legs) > 0 and legs[-1].kind == "delta" and sha256(held.blob) != legs[-1].sha256:
            raise BlobError(
                f"the deltas lead to other weights than version {version} has: this computer adds up otherwise than "
                "the coordinator's, or bytes were changed; with compression.downlink: none versions travel whole"
            )
        if legs:
            self._cache.keep(legs[-1].sha256, held.blob)
        if self._deltas is None:
            self._held = None
        return held.blob

    def _from_disk(self, legs: Sequence[Leg]) -> Sequence[Leg]:
        """What of the way is left from the newest version on it that this computer once had."""
        for place in reversed(range(len(legs))):
            blob = self._cache.get(legs[place].sha256, legs[place].num_bytes)
            if blob is not None:
                self._held = _Held(version=legs[place].version, blob=blob)
                return legs[place + 1 :]
        return legs

    def _go(self, leg: Leg, library: Library) -> bool:
        content = self._fetched(leg, library)
        if content is None:
            return False
        if leg.kind == "weights":
            self._held = _Held(version=leg.version, blob=content)
            return True
        held = self._held
        if self._deltas is None or held is None or leg.codec != self._deltas.codec:
            raise BlobError(f"version {leg.version} came as a delta that nobody announced")
        self._await_return()
        # Between two versions it is none.
        self._held = None
        self._deltas.apply(content, unpack(held.blob, self._manifest, max_bytes=self._manifest.blob_bytes))
        self._held = _Held(version=leg.version, blob=held.blob)
        return True

    def _fetched(self, leg: Leg, library: Library) -> bytearray | None:
        """Each part is checked as it arrives, and copied once, to its place."""
        content = bytearray(self._expected_bytes(leg))
        end = 0
        for number, checksum in enumerate(leg.part_sha256s):
            part = library.part(leg, number)
            if part is None:
                return None
            begin, end = end, end + len(part)
            if hashlib.sha256(part).digest() != checksum or end > len(content):
                raise BlobError(f"part {number} of version {leg.version} is damaged")
            content[begin:end] = part
        if end != len(content):
            raise BlobError(f"version {leg.version} is not what its record says")
        self._report_fetched(leg.version, end)
        return content

    def _expected_bytes(self, leg: Leg) -> int:
        """Follows from workload and codec; memory is not given for what somebody claims."""
        implied = self._manifest.blob_bytes if leg.kind == "weights" else self._delta_bytes
        if leg.fetch_bytes != implied:
            raise BlobError(
                f"version {leg.version} has {leg.fetch_bytes} bytes, of the {implied} that model and codec imply"
            )
        return implied

    @property
    def _delta_bytes(self) -> int:
        return 0 if self._deltas is None else self._deltas.num_bytes

    def _await_return(self) -> None:
        while not self._is_returned.wait(_LOOKS_EVERY_SECONDS):
            if self._stop.is_set():
                raise StoppedError
