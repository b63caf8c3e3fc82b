"""What the instructor sees while the run goes on."""

from __future__ import annotations

import dataclasses

from rich.console import Console

from contract.errors import DatabaseError, LeadershipLost
from contract.ids import Version
from coordinator.duties import finish, merge, police, reap, resize
from coordinator.ledger import units
from coordinator.ledger.outcomes import Outcome


@dataclasses.dataclass(slots=True, kw_only=True)
class Lines:
    """A line for each thing that changed; nothing for a turn in which nothing did."""

    console: Console
    finished: bool = False
    _reminded: tuple[Version, int] | None = None

    def report(self, report: object) -> None:
        if isinstance(report, merge.Report):
            self._merged(report)
        elif isinstance(report, reap.Report):
            for unit in report.reopened:
                self.console.print(f"unit {unit} opens again: its lease is over", style="yellow")
            for failure in report.failed:
                self.console.print(in_words(failure), style="red", markup=False)
        elif isinstance(report, resize.Report) and report.after is not None:
            here = "1 worker is" if report.num_workers == 1 else f"{report.num_workers} workers are"
            gradients = "gradient" if report.after == 1 else "gradients"
            self.console.print(f"an update takes {report.after} {gradients} now, not {report.before}: {here} here")
        elif isinstance(report, police.Report):
            for session in report.ended:
                self.console.print(
                    f"ended a session of {session.volunteer}: {session.offence} ({session.seconds:.0f} s)", style="red"
                )
        elif isinstance(report, finish.Report) and report.finished:
            self.finished = True
            self.console.print("the run is finished: every epoch is computed", style="bold green")
            if report.outcome is not None:
                self.console.print(summary(report.outcome))
        elif isinstance(report, DatabaseError | LeadershipLost):
            self.console.print(str(report).splitlines()[0], style="red", markup=False)

    def _merged(self, report: merge.Report) -> None:
        for verdict in report.refused:
            self.console.print(f"a gradient was refused: {verdict}", style="yellow", markup=False)
        if report.version is not None:
            losses = "  ".join(f"{name} {value:.4f}" for name, value in report.losses.items())
            gradients = "gradient" if report.merged == 1 else "gradients"
            self.console.print(
                f"version {report.version:>5}  {report.merged} {gradients} in {report.seconds:.2f} s  {losses}"
            )
        if report.late:
            late = ", ".join(f"{unit.volunteer} ({unit.worker}, unit {unit.unit})" for unit in report.late)
            self.console.print(f"the round closed at its deadline; late: {late}", style="yellow", markup=False)
        overdue = report.overdue
        if overdue is not None and self._reminded != (overdue.head, overdue.num_deadlines):
            self._reminded = (overdue.head, overdue.num_deadlines)
            self.console.print(str(overdue), style="yellow", markup=False)


def in_words(failure: units.Failure) -> str:
    who = f" (last tried by {failure.volunteer}, {failure.worker})" if failure.volunteer is not None else ""
    loss = f"its {failure.num_samples} samples are left out of epoch {failure.epoch}"
    return f"unit {failure.unit} failed for good: {failure.reason}{who}; {loss}"


def summary(outcome: Outcome) -> str:
    """What became of the work, in a line."""
    share = f" ({100 * outcome.share_used:.1f} %)" if outcome.share_used is not None else ""
    parts = [f"{outcome.num_merged} of {outcome.num_computed} computed units moved the model{share}"]
    if dropped := outcome.num_begun - outcome.num_computed:
        parts.append(f"{dropped} more were begun and dropped")
    if outcome.surplus_samples:
        parts.append(f"{outcome.surplus_samples} samples were computed beyond need")
    if outcome.num_failed:
        parts.append(
            f"{outcome.num_failed} units failed for good, their {outcome.skipped_samples} samples were left out"
        )
    return "; ".join(parts)
