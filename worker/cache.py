"""Model versions on disk, by checksum: what was downloaded once is not downloaded again, after a restart either."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

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

    def get(self, sha256: bytes, num_bytes: int) -> bytearray | None:
        """The weights of that checksum, for the caller to have."""
        path = self._path(sha256)
        try:
            if path.stat().st_size != num_bytes:
                return None
            content = bytearray(num_bytes)
            with path.open("rb") as file:
                file.readinto(content)
            path.touch()
        except OSError:
            return None
        return content if hashlib.sha256(content).digest() == sha256 else None

    def keep(self, sha256: bytes, content: bytearray) -> None:
        """A full disk or a folder that is not ours is no reason not to compute; the cache only saves a download."""
        if time.monotonic() < self._store_at:
            return
        self._store_at = time.monotonic() + self._store_every
        path = self._path(sha256)
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

    def _path(self, sha256: bytes) -> Path:
        return self._folder / f"{sha256.hex()}.bin"

    def _oldest(self) -> Iterator[Path]:
        kept = sorted(self._folder.glob("*.bin"), key=lambda path: path.stat().st_mtime, reverse=True)
        yield from kept[self._keep :]
        # What a process that was killed left half written.
        long_ago = time.time() - _DRAFTS_LIVE_SECONDS
        yield from (draft for draft in self._folder.glob(f"*{_PARTIAL}*") if draft.stat().st_mtime < long_ago)
