"""Renews the lease while a merge or a large deletion keeps the loop from doing so."""

from __future__ import annotations

import dataclasses

from coordinator.leadership import Leadership


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    pass


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeepLeading:
    leadership: Leadership

    def run_once(self) -> Report:
        self.leadership.renew()
        return Report()
