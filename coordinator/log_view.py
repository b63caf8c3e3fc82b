"""What the instructor would read, as lines for machines: the same news, with their numbers beside the words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from contract.logs.console import LogConsole
from coordinator.duties import evaluate, merge, push
from coordinator.reporting import Lines


class LogView:
    def __init__(self, console: LogConsole) -> None:
        self._console = console
        self._lines = Lines(console=console)

    @property
    def finished(self) -> bool:
        return self._lines.finished

    def report(self, report: object) -> None:
        if isinstance(report, merge.Report) and report.refused:
            # Apart, so that a version's numbers stand beside its own line.
            self._tell(merge.Report(refused=report.refused))
            report = dataclasses.replace(report, refused=())
        self._tell(report)

    def _tell(self, report: object) -> None:
        with self._console.about(_topic(report), _numbers(report)):
            self._lines.report(report)

    def close(self) -> None:
        self._lines.close()


def _topic(report: object) -> str:
    folder, _, name = type(report).__module__.rpartition(".")
    return name if folder == "coordinator.duties" else "loop"


def _numbers(report: object) -> Mapping[str, Any] | None:
    match report:
        case merge.Report(version=version) if version is not None:
            return _named(report, "version", "merged", "num_bytes", "seconds", "losses")
        case evaluate.Report(version=version) if version is not None:
            return _named(report, "version", "metrics")
        case push.Report(version=version) if version is not None:
            return _named(report, "version", "url")
        case _:
            return None


def _named(report: object, *names: str) -> Mapping[str, Any]:
    return {name: getattr(report, name) for name in names}
