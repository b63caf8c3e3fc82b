"""What `coordinator start` says before it begins: what learns from what, where it stands, and how people join."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from contract.states import RunState
from coordinator.ledger.overview import RunLine
from coordinator.ledger.people import RosterLine

_MODES = {"sync": "in rounds", "async": "without waiting for anybody", "local": "by local steps"}
_ONLY_HERE = ("127.0.0.1", "localhost", "::1")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    line: RunLine
    roster: Sequence[RosterLine]
    address: str
    options: str
    """What of the command line names this run, to be typed again."""

    def lines(self) -> list[str]:
        return [self._subject(), self._where(), *self._people()]

    def _subject(self) -> str:
        line = self.line
        samples = "" if line.samples_per_epoch is None else f" ({line.samples_per_epoch:,} samples)"
        return f"run {line.name}: {line.workload} learns from {line.source}{samples}, {_MODES[line.mode]}"

    def _where(self) -> str:
        line = self.line
        if line.state is RunState.PAUSED:
            return (
                f"it is paused at version {line.version}, {self._epochs()}: workers wait, nothing is handed out; "
                f"`coordinator resume{self.options}` goes on"
            )
        if not line.version:
            parent = "" if line.parent is None else f" with the weights of {line.parent}, version {line.parent_version}"
            return f"it begins{parent}: {line.num_epochs} times through the data"
        return f"it goes on at version {line.version}, {self._epochs()}"

    def _epochs(self) -> str:
        return f"{self.line.epochs_done or 0:.1f} of {self.line.num_epochs} times through the data"

    def _people(self) -> list[str]:
        invited = [person for person in self.roster if person.revoked_at is None]
        here = sum(1 for person in invited if person.num_workers)
        if not invited:
            return [
                f"volunteers connect to {self.address}; nobody is invited yet",
                f"next, in another terminal: coordinator invite{self.options} NAME...",
            ]
        return [
            f"volunteers connect to {self.address}; {len(invited)} invited, {here} here now",
            "each of them runs: worker join --config THEIR-FILE.yaml"
            f"; more people: coordinator invite{self.options} NAME...",
        ]


def address_of(public: dict[str, Any]) -> str:
    """Of what an invitation says, the part for people; no password is in it."""
    host, port = (
        (public["url"].host or "the host of database.url", public["url"].port or 5432)
        if "url" in public
        else (public["host"], public["port"])
    )
    return f"{host} port {port}" + (" (this computer only)" if host in _ONLY_HERE else "")
