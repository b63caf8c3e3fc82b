"""A run on one screen, from 80 x 24 letters on. Pure: what is drawn follows from a snapshot of the ledger."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, assert_never

from rich import box
from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from contract.states import RunState
from coordinator.durations import in_words
from coordinator.event_lines import told
from coordinator.ledger.watching import Curve, RunNow, Snapshot, WorkerNow
from coordinator.sparklines import Pixels, sparkline, thumbnails

_HEAD_LINES: Final = 5
_HELD_OUT: Final = "held_out/"
_THUMBNAIL_SIDE: Final = 16
_WIDEST_CURVES: Final = 120
_SILENCE_SECONDS: Final = 3.0
_COLOURS: Final = ("cyan", "magenta", "green", "yellow", "blue", "red")
_STATES: Final = {RunState.RUNNING: "green", RunState.PAUSED: "yellow", RunState.FAILED: "red"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Countdown:
    """For a run that ends with the clock and not with its epochs."""

    total_seconds: float
    left_seconds: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What this process has to say, and the ledger does not know."""

    at: datetime.datetime
    text: str


class Order(StrEnum):
    """Of the workers, those that are here before those that left; the largest numbers first."""

    ARRIVAL = "arrival"
    NAME = "name"
    SPEED = "speed"
    UNITS = "units"
    ACCEPTED = "share accepted"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All there is to draw. `address` is where volunteers connect to, for whoever knows it; `images` are what the model
    draws by now; the ledger has not answered for `silent_seconds`. `page` counts the screens full of workers, round and
    round."""

    snapshot: Snapshot
    address: str | None = None
    notes: Sequence[Note] = ()
    silent_seconds: float = 0.0
    countdown: Countdown | None = None
    images: Pixels | None = None
    order: Order = Order.ARRIVAL
    page: int = 0
    has_keys: bool = False


def draw(scene: Scene, *, width: int, height: int) -> RenderableType:
    snapshot = scene.snapshot
    left = height - _HEAD_LINES - scene.has_keys
    # Curves and pictures grow with the screen, and leave the workers and the events a place.
    num_curves = len(_chosen(snapshot.curves))
    middle = min(max(num_curves, 4, min(4 * num_curves, (left - 12) // 2)) + 2, left - 8)
    if scene.images is not None:
        middle = max(middle, min(2 + _THUMBNAIL_SIDE // 2 * ((left - 10) // (_THUMBNAIL_SIDE // 2)), left // 2 + 2))
    for_events = max(5 if scene.images is None else 3, left // 5)
    workers = min(max(1, len(snapshot.workers)) + 3, max(4, left - middle - for_events))
    layout = Layout()
    layout.split_column(
        Layout(_head(scene, width), size=_HEAD_LINES),
        Layout(_middle(scene, width, middle), size=middle),
        Layout(_workers(scene, workers - 3), size=workers),
        Layout(_events(scene, left - middle - workers - 2)),
        *([Layout(_keys(scene.order), size=1)] if scene.has_keys else []),
    )
    return layout


def _head(scene: Scene, width: int) -> RenderableType:
    run = scene.snapshot.run
    state = Text(str(run.state), style=_STATES.get(run.state, "bold"))
    if run.reason and run.state is not RunState.RUNNING:
        state.append(f" ({run.reason})")
    title = Text.assemble(("Barnraise", "bold"), f"  {run.name}: {run.workload}, {run.mode}  ", state)
    done, total, told = _progress(run, scene.countdown)
    bar = Table.grid(expand=True, padding=(0, 1))
    bar.add_column(ratio=1)
    bar.add_column(justify="right", no_wrap=True)
    bar.add_row(ProgressBar(total=total, completed=done), told)
    return Panel(
        Group(bar, _round(run, scene.snapshot.workers), _fitting(_below(scene), width - 4)),
        title=title, title_align="left", box=box.ROUNDED, border_style="dim",
    )  # fmt: skip


def _progress(run: RunNow, countdown: Countdown | None) -> tuple[float, float, Text]:
    version = Text.assemble("version ", (f"{run.head_version:,}", "bold"))
    if countdown is not None:
        done = countdown.total_seconds - countdown.left_seconds
        return done, countdown.total_seconds, version.append(f", {countdown.left_seconds:.0f} s to go")
    total = run.num_samples * run.num_epochs
    if not total:
        return 0, 1, version
    # In asynchronous mode some samples count twice: the last epoch ends when the pool is empty.
    epoch = min(run.num_epochs, run.num_samples_merged // run.num_samples + 1)
    version.append(f", epoch {epoch:,} of {run.num_epochs:,}, {min(1.0, run.num_samples_merged / total):.0%}")
    if run.samples_merged_per_second and run.state is RunState.RUNNING:
        seconds = max(0.0, total - run.num_samples_merged) / run.samples_merged_per_second
        version.append(f", {in_words(seconds)} to go")
    return run.num_samples_merged, total, version


def _round(run: RunNow, workers: Sequence[WorkerNow]) -> Text:
    speed = sum(worker.samples_per_second or 0.0 for worker in workers if worker.is_here and worker.is_heard)
    landed = min(run.num_landed, run.num_wanted)
    line = Text("next version ")
    if run.num_wanted <= 12:
        line.append("●" * landed, "green").append("○" * (run.num_wanted - landed), "dim").append("  ")
    line.append(f"{landed} of {run.num_wanted} gradients")
    line.append(f"   {run.num_units_merged:,} units merged   {speed:,.0f} samples/s")
    return line


def _below(scene: Scene) -> Text:
    run = scene.snapshot.run
    if scene.silent_seconds > _SILENCE_SECONDS:
        return Text(f"the ledger has not answered for {in_words(scene.silent_seconds)}; this is of then", "bold red")
    if scene.address is not None:
        return Text(f"volunteers connect to {scene.address}", "dim")
    if run.led_from is not None:
        return Text(f"led by the coordinator on {run.led_from}", "dim")
    if run.state in (RunState.RUNNING, RunState.PAUSED):
        return Text("no coordinator leads it, workers wait; `coordinator start` does", "yellow")
    return Text("")


def _middle(scene: Scene, width: int, height: int) -> RenderableType:
    curves = _chosen(scene.snapshot.curves)
    if scene.images is None:
        return _curves(curves, width, height)
    columns = max(1, (width - 40) // (_THUMBNAIL_SIDE + 1))
    for_images = min(columns, 8) * (_THUMBNAIL_SIDE + 1) + 3
    layout = Layout()
    pictures = thumbnails(scene.images, width=for_images - 4, height=height - 2, side=_THUMBNAIL_SIDE)
    layout.split_row(
        Layout(_curves(curves, width - for_images, height)),
        Layout(_panel(pictures, "what it draws by now"), size=for_images),
    )
    return layout


def _chosen(curves: Sequence[Curve]) -> list[Curve]:
    """Losses first; of what is also measured on held-out data, the training's own, which comes with every version."""
    trained = {curve.name for curve in curves if not curve.name.startswith(_HELD_OUT)}
    chosen = [curve for curve in curves if curve.name in trained]
    for curve in curves:
        name = curve.name.removeprefix(_HELD_OUT)
        if curve.name not in trained and name not in trained:
            chosen.append(dataclasses.replace(curve, name=name))
    return sorted(chosen, key=lambda curve: not curve.name.startswith("loss"))


def _curves(curves: Sequence[Curve], width: int, height: int) -> RenderableType:
    if not curves:
        return _panel(Text("no version has been merged yet", "dim"), "losses")
    lines = max(1, min(5, (height - 2) // len(curves)))
    # A blank line between two curves where there is room for it.
    between = int(lines > 2)
    name_width = min(24, max(len(curve.name) for curve in curves))
    spark_width = max(8, min(_WIDEST_CURVES, width - name_width - 14))
    table = Table.grid(padding=(0, 1, between, 0), collapse_padding=False)
    table.add_column(width=name_width, no_wrap=True, overflow="ellipsis", vertical="bottom")
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True, vertical="bottom")
    for place, curve in enumerate(curves[: max(1, (height - 2) // lines)]):
        colour = _COLOURS[place % len(_COLOURS)]
        spark = "\n".join(sparkline(curve.values, width=spark_width, height=lines - between))
        table.add_row(curve.name, Text(spark, colour), Text(f"{curve.values[-1]:.4g}", "bold"))
    return _panel(table, "losses and measures")


def _workers(scene: Scene, rows: int) -> RenderableType:
    workers = _sorted(scene.snapshot.workers, scene.order)
    table = Table(box=None, expand=True, pad_edge=False, header_style="dim")
    table.add_column("worker", no_wrap=True, overflow="ellipsis", ratio=2)
    table.add_column("device", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("does", no_wrap=True, overflow="ellipsis", ratio=2)
    for name in ("samples/s", "units", "accepted"):
        table.add_column(name, justify="right", no_wrap=True)
    if not workers:
        return _panel(_nobody(scene.snapshot), "workers")
    first, shown = 0, workers
    if len(workers) > rows:
        full = max(1, rows - 1)
        first = full * (scene.page % -(-len(workers) // full))
        shown = workers[first : first + full]
    for worker in shown:
        share = _share_accepted(worker)
        table.add_row(
            worker.person,
            worker.device,
            _doing(worker),
            "" if worker.samples_per_second is None else f"{worker.samples_per_second:,.0f}",
            f"{worker.num_delivered:,}",
            "" if share is None else f"{share:.0%}",
            style="" if worker.is_here else "dim",
        )
    if len(workers) > rows:
        table.add_row(_others(first, len(shown), len(workers)), style="dim")
    return _panel(table, f"workers: {scene.snapshot.run.num_workers:,} here")


def _nobody(snapshot: Snapshot) -> Text:
    state, names = snapshot.run.state, ", ".join(snapshot.took_part)
    if state in (RunState.FINISHED, RunState.FAILED):
        end = "is finished" if state is RunState.FINISHED else "has failed"
        who = f"; who took part: {names}" if names else ""
        return Text(f"the run {end}, nobody is here any more{who}")
    here = f"nobody is here any more ({names})" if names else "nobody is here yet"
    return Text(f"{here}; the volunteers run `worker join`", "yellow")


def _others(first: int, num_shown: int, num_workers: int) -> str:
    if first == 0:
        return f"and {num_workers - num_shown} more"
    return f"{first + 1} to {first + num_shown} of {num_workers}"


def _share_accepted(worker: WorkerNow) -> float | None:
    judged = worker.num_merged + worker.num_refused
    return worker.num_merged / judged if judged else None


def _sorted(workers: Sequence[WorkerNow], order: Order) -> list[WorkerNow]:
    def key(worker: WorkerNow) -> tuple[bool, float | str]:
        match order:
            case Order.ARRIVAL:
                place: float | str = worker.worker
            case Order.NAME:
                place = worker.person.casefold()
            case Order.SPEED:
                place = -(worker.samples_per_second or 0.0)
            case Order.UNITS:
                place = -worker.num_delivered
            case Order.ACCEPTED:
                place = -(_share_accepted(worker) or 0.0)
            case _:
                assert_never(order)
        return not worker.is_here, place

    return sorted(workers, key=key)


def _keys(order: Order) -> Text:
    line = Text("  ", no_wrap=True, overflow="ellipsis", style="dim")
    for key, what in (("q", "quit"), ("s", f"sorted by {order}"), ("space", "more workers"), ("n", "next run")):
        line.append(key, "bold not dim").append(f" {what}    ")
    return line


def _doing(worker: WorkerNow) -> Text:
    if not worker.is_here:
        return Text("left")
    if not worker.is_heard:
        return Text(f"silent for {in_words(worker.seen_ago_seconds)}", "yellow")
    return Text(worker.phase, "green" if worker.phase == "computing" else "")


def _events(scene: Scene, rows: int) -> RenderableType:
    happened = [(event.at, told(event)) for event in scene.snapshot.events]
    happened += [(note.at, Text(note.text, "yellow")) for note in scene.notes]
    happened.sort(key=lambda pair: pair[0])
    lines = [
        Text.assemble((f"{at.astimezone():%H:%M:%S} ", "dim"), text, no_wrap=True, overflow="ellipsis")
        for at, text in happened[-max(0, rows) :]
    ]
    return _panel(Group(*lines), "what happened")


def _panel(content: RenderableType, title: str) -> Panel:
    return Panel(content, title=Text(title, "dim"), title_align="left", box=box.ROUNDED, border_style="dim")


def _fitting(text: Text, width: int) -> Text:
    text.truncate(width, overflow="ellipsis")
    return text
