"""Keeps the embedded server's logs bounded while it runs for days."""

from __future__ import annotations

import contextlib
import dataclasses

from coordinator.embedded import EmbeddedSettings, trim_logs


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    pass


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrimLogs:
    settings: EmbeddedSettings

    def run_once(self) -> Report:
        # What cannot be deleted now is deleted another time.
        with contextlib.suppress(OSError):
            trim_logs(self.settings)
        return Report()
