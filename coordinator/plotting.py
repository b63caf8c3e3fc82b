"""`coordinator plots`: what the ledger knows of a run, as pictures in a folder."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from PIL import Image
from sqlalchemy import Engine

from contract.errors import NotFound
from contract.ids import Version
from coordinator import curves
from coordinator.duties.evaluate import PREFIX
from coordinator.ledger import runs, samples, watching
from coordinator.ledger.samples import KeptSample
from coordinator.pictures import PICTURE, Bars, Line, Panel, save_animation, save_curves

# A GIF that lasts a quarter of a minute.
_MOST_FRAMES: Final = 60


def draw(engine: Engine, *, run: str, folder: Path) -> Iterator[tuple[Path, str]]:
    """Each file with what it shows; those of which there is nothing to show are left out."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as conn, conn.begin():
        record = runs.read_run(conn, name=run)
        metrics = watching.metrics(conn, run=record.run)
        speed = watching.speed(conn, run=record.run)
        staleness = watching.staleness(conn, run=record.run)
        kept = samples.versions_with_samples(conn, run=record.run)
        shown = samples.read_samples(conn, run=record.run, versions=_spread(kept, _MOST_FRAMES))
    if record.head_version == 0:
        raise NotFound(f"run {run} has no version but its first; there is nothing to draw yet")
    folder.mkdir(parents=True, exist_ok=True)
    panels = [*curves.losses(metrics), *_held_out(metrics)]
    if panels:
        yield _saved(panels, folder / "losses.png", run), "losses, and what was measured on held-out data"
    if speed:
        hours = Line(name="samples/s", xs=[hour for hour, _ in speed], ys=[rate for _, rate in speed])
        panel = Panel(
            title="samples that moved the model, per second", lines=[hours], x_label="hours since the beginning"
        )
        yield _saved([panel], folder / "throughput.png", run), "how fast the class was"
    if staleness:
        bars = Bars(xs=[behind for behind, _ in staleness], ys=[number for _, number in staleness])
        panel = Panel(title="gradients merged", bars=bars, x_label="versions behind the head")
        yield _saved([panel], folder / "staleness.png", run), "how late gradients came"
    yield from _made(shown, folder)


def _held_out(metrics: curves.Metrics) -> list[Panel]:
    return [
        Panel(title=f"held out: {name.removeprefix(PREFIX)}", lines=[curves.line(metrics, name, smoothed=False)])
        for name in metrics
        if name.startswith(PREFIX)
    ]


def _made(shown: list[KeptSample], folder: Path) -> Iterator[tuple[Path, str]]:
    pictures = [
        (f"version {one.version:,}", Image.open(io.BytesIO(one.content)).convert("RGB"))
        for one in shown
        if one.media_type == PICTURE
    ]
    if pictures:
        pictures[-1][1].save(folder / "samples.png", optimize=True)
        yield folder / "samples.png", "what the model drew last"
    if len(pictures) > 1:
        save_animation(pictures, folder / "growth.gif")
        yield folder / "growth.gif", "what it drew from version to version"
    texts = [one for one in shown if one.media_type != PICTURE]
    if texts:
        lines = [f"=== version {one.version:,}\n\n{one.content.decode(errors='replace')}\n" for one in texts]
        (folder / "samples.txt").write_text("\n".join(lines), "utf-8")
        yield folder / "samples.txt", "what it wrote from version to version"


def _saved(panels: list[Panel], file: Path, run: str) -> Path:
    save_curves(panels, file, title=run)
    return file


def _spread(values: list[Version], most: int) -> list[Version]:
    """The first, the last, and others evenly between them."""
    if len(values) <= most:
        return values
    return [values[place * (len(values) - 1) // (most - 1)] for place in range(most)]
