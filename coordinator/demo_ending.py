"""How a demo ends: pictures, what they show, and how to do the same with friends."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape

from contract.errors import MissingExtra
from contract.ids import Version
from coordinator import curves, pictures
from coordinator.demo_settings import Showing
from coordinator.ledger.watching import Snapshot
from coordinator.pictures import Panel, Stage

_HELD_OUT: Final = "held_out/"
# Of so many versions at either end the mean is told: a single one is a batch's mood.
_END_VERSIONS: Final = 10


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is left of a demo when all has ended."""

    snapshot: Snapshot
    metrics: Mapping[str, Sequence[tuple[Version, float]]]
    stages: Sequence[Stage]
    seconds: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    record: Record
    showing: Showing
    directory: Path
    console: Console

    def show(self) -> None:
        run = self.record.snapshot.run
        self._say(
            f"\n[bold]{self.record.seconds:.0f} seconds: {run.head_version:,} versions of {run.workload}, "
            f"of {run.num_units_merged:,} units and {run.num_samples_merged:,} samples[/]"
        )
        for name, values in sorted(self.record.metrics.items(), key=_losses_first):
            # What is measured on held-out data is no batch's mood.
            span = 1 if name.startswith(_HELD_OUT) else _END_VERSIONS
            first, last = _mean(values[:span]), _mean(values[-span:])
            self._say(f"  {name:<26} {first:10.4g}  ->  {last:.4g}")
        self._say("")
        for file, what in self._pictures():
            self._say(f"  {escape(str(file))}  {what}")
        self._say(_with_friends())

    def _pictures(self) -> list[tuple[Path, str]]:
        folder, stages = self.directory, self.record.stages
        folder.mkdir(parents=True, exist_ok=True)
        made = []
        if len(stages) > 1:
            chosen = [stages[0], stages[len(stages) // 2], stages[-1]] if len(stages) > 2 else stages
            pictures.save_samples_through_time(chosen, folder / "samples.png")
            made.append((folder / "samples.png", "what it drew before, in the middle and at the end"))
            pictures.save_growth(stages, folder / "growth.gif")
            made.append((folder / "growth.gif", "the same as an animation"))
        run = self.record.snapshot.run
        try:
            pictures.save_curves(
                self._panels(), folder / "losses.png", title=f"{run.workload}: {run.head_version:,} versions"
            )
            made.append((folder / "losses.png", "how the losses went"))
        except MissingExtra as missing:
            self._say(f"[yellow]{escape(str(missing))}[/]")
        return made

    def _panels(self) -> list[Panel]:
        metrics = self.record.metrics
        measured = f"{_HELD_OUT}{self.showing.metric}"
        panels = curves.losses(metrics)
        if len(metrics.get(measured, ())) > 1:
            line = dataclasses.replace(curves.line(metrics, measured, smoothed=False), name="on data it never saw")
            panels.append(Panel(title=self.showing.means, lines=[line], is_logarithmic=self.showing.is_logarithmic))
        return panels

    def _say(self, what: str) -> None:
        self.console.print(what, soft_wrap=True, highlight=False)


def _losses_first(metric: tuple[str, object]) -> tuple[bool, str]:
    return not metric[0].startswith("loss"), metric[0]


def _mean(values: Sequence[tuple[Version, float]]) -> float:
    return sum(value for _, value in values) / len(values)


def _with_friends() -> str:
    return "\n".join(
        [
            "\n[bold]The same with friends, in a folder of your own (docs/tutorial/instructor.md goes through it):[/]",
            *_activation(),
            "  coordinator init                # asks how many computers take part, writes config.yaml",
            "  coordinator migrate             # makes the ledger",
            "  coordinator invite alice bob    # a file and a one-line token for each; send them",
            "  coordinator start               # leads the run until Ctrl-C; the same command resumes it",
            "[bold]And on each of their computers, with Barnraise installed (docs/tutorial/student.md):[/]",
            "  worker join --config alice.yaml",
        ]
    )


def _activation() -> list[str]:
    """`make` puts nothing on the PATH, and a path from here is none from another folder."""
    scripts = Path(sysconfig.get_path("scripts"))
    found = shutil.which("coordinator")
    if found is not None and Path(found).parent == scripts:
        return []
    script = scripts / ("activate" if os.name == "posix" else "Activate.ps1")
    return [f"  {'. ' if os.name == 'posix' else ''}{script}"] if script.exists() else []
