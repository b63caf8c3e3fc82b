"""Where a run stands, on one screen: read at one moment, shown to people or as JSON."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
from collections.abc import Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection

from contract.ids import Version
from contract.states import RunState
from coordinator.ailments import Ailment, Signs, ailments
from coordinator.durations import in_words
from coordinator.ledger import records, views
from coordinator.ledger.views import Leading, Loss, Progress, SeenPush, SeenVersion, SeenWorker
from coordinator.ledger.watching import Curve, curves
from coordinator.sparklines import sparkline

_STYLES: Final = {RunState.RUNNING: "green", RunState.PAUSED: "yellow", RunState.FAILED: "red"}
# Some measures are not taken of every version.
_VERSIONS_LOOKED_AT: Final = 200
_MOST_WORKERS: Final = 1_000
_MOST_NAMED: Final = 8
_SPARK_WIDTH: Final = 40


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """`losses` are the newest of each name, `workers` those that are here, `silent` those that neither left nor were
    heard of for three heartbeats; up to a thousand of each."""

    at: datetime.datetime
    progress: Progress
    leading: Leading | None
    workers: Sequence[SeenWorker]
    silent: Sequence[SeenWorker]
    losses: Sequence[Loss]
    curves: Sequence[Curve]
    last_version: SeenVersion | None
    last_push: SeenPush | None
    ailments: Sequence[Ailment]


def read_status(conn: Connection, *, run: str, push_interval: int | None = None) -> Status:
    records.require_run(conn, run=run)
    (progress,) = views.progress(conn, run=run)
    head = progress.head_version
    pushes = views.seen_pushes(conn, run=run)
    newest = views.newest_versions(conn, run=run, most=1)
    leading = views.leading(conn, run=run)
    at = records.now(conn)
    signs = Signs(
        at=at,
        progress=progress,
        leading=leading,
        stalled=views.stalled_units(conn, run=run),
        suspects=views.suspects(conn, run=run),
        timings=views.timings(conn, run=run),
        health=views.database_health(conn),
        push_interval=push_interval,
        last_push=pushes[-1] if pushes else None,
    )
    measured: list[Loss] = []
    if head is not None:
        measured = views.losses(conn, run=run, after=Version(head - _VERSIONS_LOOKED_AT))
    return Status(
        at=at,
        progress=progress,
        leading=leading,
        workers=[worker for worker in views.seen_workers(conn, run=run, most=_MOST_WORKERS) if worker.is_present],
        silent=views.silent_workers(conn, run=run, most=_MOST_WORKERS),
        losses=list({loss.name: loss for loss in measured}.values()),
        curves=() if head is None else curves(conn, run=run, head=head),
        last_version=newest[0] if newest else None,
        last_push=signs.last_push,
        ailments=ailments(signs),
    )


def as_json(status: Status) -> str:
    """Times in ISO 8601, with their offset from UTC; a loss that was no number is null. Curves are for eyes."""
    fields = dataclasses.asdict(status)
    del fields["curves"]
    for loss in fields["losses"]:
        loss["value"] = loss["value"] if math.isfinite(loss["value"]) else None
    return json.dumps(fields, indent=2, default=lambda moment: moment.isoformat())


def show(status: Status, console: Console) -> None:
    run = status.progress
    title = Text.assemble((run.run, "bold"), f": {run.workload}, {run.mode}, ", (run.state, _style(run.state)))
    if run.state_reason and run.state != RunState.RUNNING:
        title.append(f" ({run.state_reason})")
    console.print(title)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, content in (
        ("progress", _progress(run, has_bar=console.is_terminal)),
        ("led", _led(status)),
        ("workers", _workers(status)),
        ("units", _units(run)),
        ("losses", _losses(status, can_draw=console.encoding.startswith("utf"))),
        ("last merge", _last_merge(status)),
        ("last push", _last_push(status)),
        ("wrong", _wrong(status.ailments)),
    ):
        table.add_row(name, content)
    console.print(table)


def _style(state: str) -> str:
    return _STYLES.get(RunState(state), "bold")


def _progress(run: Progress, *, has_bar: bool) -> RenderableType:
    if run.head_version is None:
        return Text("it has not begun")
    line = Text(f"version {run.head_version:,}")
    if run.share_done is None or not run.samples_per_epoch or not run.num_epochs:
        return line
    epoch = min(run.num_epochs, run.num_samples_merged // run.samples_per_epoch + 1)
    line.append(f", epoch {epoch:,} of {run.num_epochs:,}, {run.share_done:.1%}")
    if run.eta_seconds is not None:
        line.append(f", {in_words(run.eta_seconds)} to go")
    if run.samples_per_second is not None:
        line.append(f" at {run.samples_per_second:,.0f} samples/s")
    if not has_bar:
        return line
    lines = Table.grid()
    lines.add_row(ProgressBar(total=1, completed=run.share_done, width=_SPARK_WIDTH))
    lines.add_row(line)
    return lines


def _led(status: Status) -> Text:
    leading = status.leading
    if leading is None or not leading.is_leading:
        return Text("by nobody", "yellow" if status.progress.state in (RunState.RUNNING, RunState.PAUSED) else "")
    since = f" for {_ago(status, leading.elected_at)}" if leading.elected_at else ""
    return Text(f"by the coordinator on {leading.host}{since}")


def _workers(status: Status) -> Text:
    line = Text("nobody is here")
    if status.workers:
        names = list(dict.fromkeys(worker.display_name for worker in status.workers))
        line = Text(f"{status.progress.num_workers:,} here: {_some(names)}")
    if status.silent:
        names = [f"{_computer(worker)} {_silence(status, worker)}" for worker in status.silent]
        line.append("; ").append(f"silent: {_some(names)}", "yellow")
    return line


def _some(names: Sequence[str]) -> str:
    more = " and more" if len(names) > _MOST_NAMED else ""
    return f"{', '.join(names[:_MOST_NAMED])}{more}"


def _computer(worker: SeenWorker) -> str:
    """A person may have several, and only one of them is silent."""
    name = worker.display_name
    return name if worker.worker_name in (name, worker.volunteer) else f"{name} ({worker.worker_name})"


def _silence(status: Status, worker: SeenWorker) -> str:
    return f"for {_ago(status, worker.joined_at if worker.last_seen_at is None else worker.last_seen_at)}"


def _units(run: Progress) -> Text:
    line = f"{run.num_merged:,} merged, {run.num_leased:,} in work, {run.num_open:,} open"
    if run.num_failed:
        line += f", {run.num_failed:,} failed"
    if run.share_used is not None:
        line += f"; {run.share_used:.0%} of what was computed was used"
    return Text(line)


def _losses(status: Status, *, can_draw: bool) -> RenderableType:
    if not status.losses:
        return Text("nothing was measured yet")
    drawn = {curve.name: curve.values for curve in status.curves}
    table = Table.grid(padding=(0, 2, 0, 0))
    for loss in sorted(status.losses, key=lambda loss: (not loss.name.startswith("loss"), loss.name)):
        (spark,) = sparkline(drawn.get(loss.name, ()), width=_SPARK_WIDTH)
        table.add_row(loss.name, *([Text(spark, "cyan")] if can_draw else []), Text(f"{loss.value:.4g}", "bold"))
    return table


def _last_merge(status: Status) -> Text:
    version = status.last_version
    if version is None or version.num_gradients is None:
        return Text("none yet")
    gradients = "gradient" if version.num_gradients == 1 else "gradients"
    took = "" if version.merge_seconds is None else f" in {version.merge_seconds:.2g} s"
    return Text(
        f"version {version.version:,}, {_ago(status, version.created_at)} ago:"
        f" {version.num_gradients:,} {gradients} by {version.rule}{took}"
    )


def _last_push(status: Status) -> Text:
    push = status.last_push
    if push is None:
        return Text("none", "dim")
    return Text(f"version {push.version:,}, {_ago(status, push.at)} ago: {push.url}")


def _wrong(found: Sequence[Ailment]) -> RenderableType:
    if not found:
        return Text("nothing that the ledger knows of", "green")
    lines: list[RenderableType] = []
    for ailment in found:
        lines += [Text(ailment.what, "yellow"), Padding(Text(ailment.do), (0, 0, 0, 2))]
    return Group(*lines)


def _ago(status: Status, at: datetime.datetime) -> str:
    return in_words(max(0.0, (status.at - at).total_seconds()))
