"""Starts the embedded server again when it fell: killed, out of memory, or by a full disk."""

from __future__ import annotations

import dataclasses

from contract.errors import EmbeddedServerError
from coordinator.embedded import EmbeddedSettings, ensure_running, has_fallen


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`problem` says why it will not start, when that is another reason than the last time."""

    raised: bool = False
    problem: str | None = None


@dataclasses.dataclass(slots=True, kw_only=True)
class RaiseServer:
    """One that somebody stopped in good order stays so."""

    settings: EmbeddedSettings
    _told: str | None = None
    _lies_there: bool = False

    def run_once(self) -> Report:
        try:
            # A start that fails takes away what was left behind.
            self._lies_there = self._lies_there or has_fallen(self.settings)
            if not self._lies_there:
                return Report()
            ensure_running(self.settings)
        except (EmbeddedServerError, OSError) as error:
            problem = str(error).splitlines()[0]
            is_news, self._told = problem != self._told, problem
            return Report(problem=problem if is_news else None)
        self._told, self._lies_there = None, False
        return Report(raised=True)
