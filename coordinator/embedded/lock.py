"""A lock between processes that the operating system releases when its holder dies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.errors import EmbeddedServerError

_RETRY_SECONDS = 0.02

if sys.platform == "win32":
    import msvcrt

    # Windows forbids others to read a locked byte, so the byte lies far behind anything written to the file.
    _FAR_BYTE = 1 << 30

    def _try_to_lock(descriptor: int) -> bool:
        os.lseek(descriptor, _FAR_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_to_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def take(path: Path) -> int | None:
    """A descriptor that holds the lock until it is closed, or None where somebody else holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    if _try_to_lock(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def take_within(path: Path, seconds: float) -> int | None:
    deadline = time.monotonic() + seconds
    while (descriptor := take(path)) is None and time.monotonic() < deadline:
        time.sleep(_RETRY_SECONDS)
    return descriptor


def is_held(path: Path) -> bool:
    if not path.exists():
        return False
    descriptor = take(path)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


@contextmanager
def exclusive(path: Path, *, patience_seconds: float) -> Iterator[None]:
    descriptor = take_within(path, patience_seconds)
    if descriptor is None:
        raise EmbeddedServerError(
            f"another process has been starting or stopping this server for {patience_seconds:.0f} s "
            f"(it holds {path}); wait for it, or end it"
        )
    try:
        yield
    finally:
        os.close(descriptor)
