"""Model versions on disk, by checksum: what was downloaded once is not downloaded again, after a restart either."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from contract.errors import BlobError
from worker.ledger import VersionRecord

_PARTIAL = ".partial"
_DRAFTS_LIVE_SECONDS = 3600


class VersionCache:
    def __init__(self, folder: Path, *, keep: int = 3) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._keep = keep

    def get(self, record: VersionRecord, fetch: Callable[[int], bytes | None]) -> bytes | None:
        """The version's bytes; None when it was pruned meanwhile. Each part is checked as it arrives."""
        path = self._folder / f"{record.sha256.hex()}.bin"
        try:
            content = path.read_bytes()
            path.touch()
        except FileNotFoundError:
            content = b""
        if len(content) == record.num_bytes and hashlib.sha256(content).digest() == record.sha256:
            return content
        parts = []
        for number, sha256 in enumerate(record.part_sha256s):
            part = fetch(number)
            if part is None:
                return None
            if hashlib.sha256(part).digest() != sha256:
                raise BlobError(f"part {number} of version {record.version} is damaged")
            parts.append(part)
        content = b"".join(parts)
        if len(content) != record.num_bytes or hashlib.sha256(content).digest() != record.sha256:
            raise BlobError(f"version {record.version} is not what its record says")
        self._store(path, content)
        return content

    def _store(self, path: Path, content: bytes) -> None:
        """A full disk is no reason not to compute; the cache only saves a download."""
        draft = path.with_suffix(f"{_PARTIAL}{os.getpid()}")
        try:
            draft.write_bytes(content)
            draft.replace(path)
            for old in self._oldest():
                old.unlink(missing_ok=True)
        except OSError:
            draft.unlink(missing_ok=True)

    def _oldest(self) -> Iterator[Path]:
        kept = sorted(self._folder.glob("*.bin"), key=lambda path: path.stat().st_mtime, reverse=True)
        yield from kept[self._keep :]
        # What a process that was killed left half written.
        long_ago = time.time() - _DRAFTS_LIVE_SECONDS
        yield from (draft for draft in self._folder.glob(f"*{_PARTIAL}*") if draft.stat().st_mtime < long_ago)
