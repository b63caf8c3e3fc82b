"""What the instructor sees while the run goes on."""

from __future__ import annotations

import dataclasses

from rich.console import Console

from contract.errors import DatabaseError, LeadershipLost
from coordinator.duties import finish, merge, police, reap


@dataclasses.dataclass(slots=True, kw_only=True)
class Lines:
    """A line for each thing that changed; nothing for a turn in which nothing did."""

    console: Console
    finished: bool = False

    def report(self, report: object) -> None:
        if isinstance(report, merge.Report):
            for verdict in report.refused:
                self.console.print(f"a gradient was refused: {verdict}", style="yellow", markup=False)
            if report.version is not None:
                losses = "  ".join(f"{name} {value:.4f}" for name, value in report.losses.items())
                self.console.print(
                    f"version {report.version:>5}  {report.merged} gradients in {report.seconds:.2f} s  {losses}"
                )
        elif isinstance(report, reap.Report):
            for unit in report.reopened:
                self.console.print(f"unit {unit} opens again: its lease is over", style="yellow")
            for unit in report.failed:
                self.console.print(f"unit {unit} failed for good", style="red")
        elif isinstance(report, police.Report):
            for session in report.ended:
                self.console.print(
                    f"ended a session of {session.volunteer}: {session.offence} ({session.seconds:.0f} s)", style="red"
                )
        elif isinstance(report, finish.Report) and report.finished:
            self.finished = True
            self.console.print("the run is finished: every epoch is computed", style="bold green")
        elif isinstance(report, DatabaseError | LeadershipLost):
            self.console.print(str(report).splitlines()[0], style="red", markup=False)

    def close(self) -> None:
        """There is nothing to take off the terminal."""
