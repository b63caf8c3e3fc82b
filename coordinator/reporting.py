"""What the instructor sees while the run goes on."""

from __future__ import annotations

import dataclasses
from typing import Final

from rich.console import Console

from contract.errors import DatabaseError, LeadershipLost
from contract.ids import Version
from contract.states import RunState
from coordinator.duties import (
    evaluate,
    finish,
    merge,
    police,
    push,
    raise_server,
    reap,
    resize,
    roll_call,
    sample,
    show_page,
)
from coordinator.sparing import Sparing
from coordinator.telling import failure_in_words, outcome_in_words
from coordinator.troubles import Recovered

_STATES: Final = {
    RunState.PAUSED: "the run is paused: no unit is handed out, finished work is kept; `coordinator resume` goes on",
    RunState.RUNNING: "the run goes on",
}


@dataclasses.dataclass(slots=True, kw_only=True)
class Lines:
    """A line for each thing that changed; nothing for a turn in which nothing did."""

    console: Console
    finished: bool = False
    sparing: Sparing = dataclasses.field(init=False)
    _reminded: tuple[Version, int] | None = None

    def __post_init__(self) -> None:
        self.sparing = Sparing(console=self.console)

    def report(self, report: object) -> None:
        if isinstance(report, merge.Report):
            self._merged(report)
        elif isinstance(report, reap.Report):
            for unit in report.reopened:
                self.sparing.print("units", f"unit {unit} opens again: its lease is over", style="yellow")
            for failure in report.failed:
                self.sparing.print("failures", failure_in_words(failure), style="red")
        elif isinstance(report, resize.Report) and report.after is not None:
            here = "1 worker is" if report.num_workers == 1 else f"{report.num_workers} workers are"
            gradients = "gradient" if report.after == 1 else "gradients"
            self.console.print(f"an update takes {report.after} {gradients} now, not {report.before}: {here} here")
        elif isinstance(report, evaluate.Report):
            self._held_out(report)
        elif isinstance(report, police.Report):
            self._arrests(report)
        elif isinstance(report, push.Report):
            if report.version is not None:
                self.console.print(
                    f"version {report.version:>5}  is on the Hub: {report.url}", style="cyan", markup=False
                )
            self._problem(report.problem)
        elif isinstance(report, sample.Report):
            self._problem(report.problem)
        elif isinstance(report, roll_call.Report) and report.is_news:
            self.console.print(_presence(report.num_workers), style="yellow" if report.num_workers == 0 else "green")
        elif isinstance(report, raise_server.Report):
            if report.raised:
                self.console.print("the embedded PostgreSQL had fallen; it runs again", style="green")
            if report.problem is not None:
                self.console.print(report.problem, style="red", markup=False)
        elif isinstance(report, show_page.Report):
            for line in report.lines:
                self.console.print(line, style="cyan", markup=False, soft_wrap=True)
            self._problem(report.problem)
        elif isinstance(report, finish.Report) and report.reason is not None:
            self.finished = True
            self.console.print(f"the run is finished: {report.reason}", style="bold green", markup=False)
            if report.outcome is not None:
                self.console.print(outcome_in_words(report.outcome))
        elif isinstance(report, RunState):
            if report in _STATES:
                self.console.print(_STATES[report], style="bold yellow")
        elif isinstance(report, DatabaseError | LeadershipLost):
            self.console.print(str(report).splitlines()[0], style="red", markup=False)
        elif isinstance(report, str):
            self.console.print(report, style="yellow", markup=False)
        elif isinstance(report, Recovered):
            self.console.print(f"that is over after {report.seconds:.0f} s, the run goes on", style="green")

    def close(self) -> None:
        """There is nothing to take off the terminal."""

    def _merged(self, report: merge.Report) -> None:
        for verdict in report.refused:
            self.sparing.print("refusals", f"a gradient was refused: {verdict}", style="yellow")
        if report.version is not None:
            losses = "  ".join(f"{name} {value:.4f}" for name, value in report.losses.items())
            gradients = "gradient" if report.merged == 1 else "gradients"
            line = f"version {report.version:>5}  {report.merged} {gradients} in {report.seconds:.2f} s  {losses}"
            self.sparing.print("versions", line, at_most=120)
        if report.late:
            late = ", ".join(f"{unit.volunteer} ({unit.worker}, unit {unit.unit})" for unit in report.late)
            self.sparing.print("late", f"the round closed at its deadline; late: {late}", style="yellow")
        overdue = report.overdue
        if overdue is not None and self._reminded != (overdue.head, overdue.num_deadlines):
            self._reminded = (overdue.head, overdue.num_deadlines)
            self.console.print(str(overdue), style="yellow", markup=False)

    def _problem(self, problem: str | None) -> None:
        if problem is not None:
            self.console.print(problem.splitlines()[0], style="yellow", markup=False)

    def _held_out(self, report: evaluate.Report) -> None:
        self._problem(report.problem)
        if report.version is not None:
            found = "  ".join(metric_in_words(name, value) for name, value in report.metrics.items())
            self.console.print(f"version {report.version:>5}  held out: {found}", style="cyan")

    def _arrests(self, report: police.Report) -> None:
        for ended in report.ended:
            line = f"ended a session of {ended.volunteer}: {ended.offence} ({ended.seconds:.0f} s)"
            self.sparing.print("sessions", line, style="red")
        for session in report.in_the_way:
            self.console.print(
                f"session {session.pid} of {session.login} holds a lock that the coordinator waits for; "
                f"end its transaction, or: SELECT pg_terminate_backend({session.pid});",
                style="yellow",
                markup=False,
            )
        if report.queue_share:
            self.console.print(
                f"the server's queue of notifications is {100 * report.queue_share:.0f} % full: somebody listens and "
                "never reads; volunteers' transactions are ended after a tenth of the usual time until it is empty",
                style="yellow",
            )


def metric_in_words(name: str, value: float) -> str:
    short = name.removeprefix(evaluate.PREFIX)
    return f"{short} {100 * value:.1f} %" if short == "accuracy" else f"{short} {value:.4f}"


def _presence(num_workers: int) -> str:
    if num_workers == 0:
        return "no worker is here; the run waits for one (`coordinator invite NAME`, then `worker join`)"
    return "a worker is here" if num_workers == 1 else f"{num_workers} workers are here"
