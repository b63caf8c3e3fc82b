"""Model versions on disk, by checksum: what was downloaded once is not downloaded again, after a restart either."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from contract.errors import BlobError
from worker.ledger import VersionRecord

_PARTIAL = ".partial"
_STORE_EVERY_SECONDS = 10.0
_DRAFTS_LIVE_SECONDS = 3600


class VersionCache:
    """A version that is over in seconds saves nobody a download: one is written every `store_every` seconds at most."""

    def __init__(self, folder: Path, *, keep: int = 3, store_every: float = _STORE_EVERY_SECONDS) -> None:
        self._folder = folder
        self._keep = keep
        self._store_every = store_every
        self._store_at = -math.inf

    def get(self, record: VersionRecord, fetch: Callable[[int], bytes | None]) -> bytearray | None:
        """The version's bytes, for the caller to have; None when it was pruned meanwhile."""
        path = self._folder / f"{record.sha256.hex()}.bin"
        content = _stored(path, record)
        if content is not None:
            return content
        content = _fetched(record, fetch)
        if content is not None and time.monotonic() >= self._store_at:
            self._store_at = time.monotonic() + self._store_every
            self._store(path, content)
        return content

    def _store(self, path: Path, content: bytearray) -> None:
        """A full disk or a folder that is not ours is no reason not to compute; the cache only saves a download."""
        draft = path.with_suffix(f"{_PARTIAL}{os.getpid()}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(content)
            draft.replace(path)
            for old in self._oldest():
                old.unlink(missing_ok=True)
        except OSError:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    def _oldest(self) -> Iterator[Path]:
        kept = sorted(self._folder.glob("*.bin"), key=lambda path: path.stat().st_mtime, reverse=True)
        yield from kept[self._keep :]
        # What a process that was killed left half written.
        long_ago = time.time() - _DRAFTS_LIVE_SECONDS
        yield from (draft for draft in self._folder.glob(f"*{_PARTIAL}*") if draft.stat().st_mtime < long_ago)


def _stored(path: Path, record: VersionRecord) -> bytearray | None:
    try:
        if path.stat().st_size != record.num_bytes:
            return None
        content = bytearray(record.num_bytes)
        with path.open("rb") as file:
            file.readinto(content)
        path.touch()
    except OSError:
        return None
    return content if hashlib.sha256(content).digest() == record.sha256 else None


def _fetched(record: VersionRecord, fetch: Callable[[int], bytes | None]) -> bytearray | None:
    """Each part is checked as it arrives, and copied once, to its place."""
    content = bytearray(record.num_bytes)
    end = 0
    for number, sha256 in enumerate(record.part_sha256s):
        part = fetch(number)
        if part is None:
            return None
        begin, end = end, end + len(part)
        if hashlib.sha256(part).digest() != sha256 or end > record.num_bytes:
            raise BlobError(f"part {number} of version {record.version} is damaged")
        content[begin:end] = part
    if end != record.num_bytes:
        raise BlobError(f"version {record.version} is not what its record says")
    return content
