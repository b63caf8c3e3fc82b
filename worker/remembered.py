"""What a person's computer keeps between runs, and what it found out about itself: how many samples of a workload fit
its memory at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import platform
import time
from pathlib import Path
from typing import Final

from contract.config import Config
from contract.database import user_directory
from contract.workloads.base import Workload

# Somebody else's program may have held the memory that day.
_TRUSTED_SECONDS: Final = 30 * 24 * 3600
_FILE: Final = "batch_sizes.json"


def cache_folder(config: Config) -> Path:
    given = config.worker.cache_directory
    return Path(given).expanduser() if given else user_directory()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BatchSizes:
    """One file for all of a person's computers: a home folder may be shared, so the computer's name is in the key."""

    folder: Path

    def get(self, workload: Workload, device: str) -> int | None:
        entry = self._read().get(self._key(workload, device))
        if not isinstance(entry, dict) or not isinstance(entry.get("batch_size"), int) or entry["batch_size"] < 1:
            return None
        at = entry.get("at")
        is_fresh = isinstance(at, float) and time.time() - at < _TRUSTED_SECONDS
        return int(entry["batch_size"]) if is_fresh else None

    def keep(self, workload: Workload, device: str, batch_size: int) -> None:
        """A full disk is no reason not to compute."""
        entries = {**self._read(), self._key(workload, device): {"batch_size": batch_size, "at": time.time()}}
        draft = self._file.with_suffix(f".{os.getpid()}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(entries, indent=1), "utf-8")
            draft.replace(self._file)
        except OSError:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    @property
    def _file(self) -> Path:
        return self.folder / _FILE

    def _read(self) -> dict[str, object]:
        try:
            entries = json.loads(self._file.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return entries if isinstance(entries, dict) else {}

    def _key(self, workload: Workload, device: str) -> str:
        # Its options make a model as large as it is.
        options = hashlib.sha256(repr(workload).encode()).hexdigest()[:12]
        return f"{platform.node()} {device} {workload.name} {options}"
