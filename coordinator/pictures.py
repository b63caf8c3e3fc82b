"""Pictures of a run. Pure: values in, an image file out."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from contract.errors import MissingExtra

Pixels = NDArray[numpy.uint8]

# What is kept of a version that draws.
PICTURE: Final = "image/png"
NUM_IMAGES: Final = 36
_BETWEEN_IMAGES: Final = 2

_PAPER: Final = "#111318"
_INK: Final = "#e1e4e8"
_FAINT: Final = "#8c929c"
# A GIF of noise does not compress: more images would take megabytes.
_ANIMATED_SIDE: Final = 4
_COLOURS: Final = ("#4cc9f0", "#f72585", "#80ed99", "#ffd166", "#b388ff", "#ff9e64")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a model drew at some time: images [n, h, w, 1 or 3]."""

    title: str
    images: Pixels


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Points from left to right; `smoothed` draws them faintly, and their moving average over them."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    smoothed: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """How many there are of each."""

    xs: Sequence[float]
    ys: Sequence[float]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    title: str
    lines: Sequence[Line] = ()
    bars: Bars | None = None
    x_label: str = "version"
    is_logarithmic: bool = False


def pixels_from(images: NDArray[numpy.float32]) -> Pixels:
    """Of values in [-1, 1] and shape [n, c, h, w], as the models draw them."""
    levels = (numpy.clip(numpy.nan_to_num(images), -1, 1) + 1) * 127.5
    return numpy.round(levels).astype(numpy.uint8).transpose(0, 2, 3, 1)


def grid_of(images: Pixels, *, side: int | None = None) -> Image.Image:
    """A square of images, `side` in each row, each magnified to some 64 pixels: small ones stay crisp."""
    side = math.ceil(math.sqrt(len(images))) if side is None else side
    factor = max(1, 64 // images.shape[1])
    cell = images.shape[1] * factor
    step = cell + _BETWEEN_IMAGES
    grid = Image.new("RGB", (side * step - _BETWEEN_IMAGES, side * step - _BETWEEN_IMAGES), _PAPER)
    for place, image in enumerate(images[: side * side]):
        row, column = divmod(place, side)
        picture = Image.fromarray(numpy.repeat(image, 4 - image.shape[2], axis=2)[:, :, :3], "RGB")
        picture = picture.resize((cell, cell), Image.Resampling.BICUBIC)
        grid.paste(picture, (column * step, row * step))
    return grid


def images_in(picture: bytes) -> Pixels:
    """The images of a kept picture, magnified as they are there."""
    with Image.open(io.BytesIO(picture), formats=["PNG"]) as opened:
        grid = numpy.asarray(opened.convert("RGB"))
    side = math.isqrt(NUM_IMAGES)
    step = (grid.shape[1] + _BETWEEN_IMAGES) // side
    cell = step - _BETWEEN_IMAGES
    return numpy.stack(
        [
            grid[row * step : row * step + cell, column * step : column * step + cell]
            for row in range(side)
            for column in range(side)
        ]
    )


def save_samples_through_time(stages: Sequence[Stage], file: Path) -> None:
    """The stages side by side, a square of images each, on one PNG."""
    side = math.ceil(math.sqrt(max(len(stage.images) for stage in stages)))
    blocks = [grid_of(stage.images, side=side) for stage in stages]
    gap, top = 24, 46
    width = gap + sum(block.width + gap for block in blocks)
    sheet = Image.new("RGB", (width, top + max(block.height for block in blocks) + gap), _PAPER)
    left = gap
    for stage, block in zip(stages, blocks, strict=True):
        _write(sheet, stage.title, left, top - 30)
        sheet.paste(block, (left, top))
        left += block.width + gap
    sheet.save(file, optimize=True)


def save_growth(stages: Sequence[Stage], file: Path, *, milliseconds: int = 250) -> None:
    """The first images of the stages one after another, as an animation that stays on the last one for a while."""
    side = min(_ANIMATED_SIDE, math.isqrt(max(len(stage.images) for stage in stages)))
    save_animation([(stage.title, grid_of(stage.images, side=side)) for stage in stages], file, milliseconds)


def save_animation(pictures: Sequence[tuple[str, Image.Image]], file: Path, milliseconds: int = 250) -> None:
    """Titles over pictures of one size."""
    frames = []
    for title, picture in pictures:
        frame = Image.new("RGB", (picture.width + 24, picture.height + 58), _PAPER)
        _write(frame, title, 12, 14)
        frame.paste(picture, (12, 46))
        frames.append(frame.convert("P", palette=Image.Palette.ADAPTIVE, colors=32))
    durations = [milliseconds] * (len(frames) - 1) + [8 * milliseconds]
    frames[0].save(file, save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=True)


def save_curves(panels: Sequence[Panel], file: Path, *, title: str) -> None:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import FormatStrFormatter
    except ImportError as error:
        raise MissingExtra("the curves are not drawn without matplotlib", extra="plots") from error
    # Without pyplot: nothing global is left behind, and no window system is asked for.
    figure = Figure(figsize=(5.6 * len(panels), 4.0), dpi=120, facecolor=_PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, color=_INK, fontsize=12)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        axes.set_facecolor(_PAPER)
        axes.set_title(panel.title, color=_FAINT, fontsize=10)
        axes.set_xlabel(panel.x_label, color=_FAINT, fontsize=9)
        axes.tick_params(colors=_FAINT, labelsize=8, which="both")
        axes.grid(color=_FAINT, alpha=0.15, linewidth=0.6)
        for place, spine in axes.spines.items():
            spine.set_visible(place in ("left", "bottom"))
            spine.set_color(_FAINT)
        if panel.is_logarithmic:
            axes.set_yscale("log")
            # 2 and 20, not 2 x 10^0 and 2 x 10^1.
            axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
            axes.yaxis.set_minor_formatter(FormatStrFormatter("%g"))
        for line, colour in zip(panel.lines, _COLOURS * len(panel.lines), strict=False):
            if line.smoothed:
                axes.plot(line.xs, line.ys, color=colour, alpha=0.22, linewidth=0.8)
                axes.plot(line.xs, smooth(line.ys), color=colour, linewidth=1.8, label=line.name)
            else:
                axes.plot(line.xs, line.ys, color=colour, linewidth=1.8, marker=".", markersize=5, label=line.name)
        if panel.bars is not None:
            axes.bar(panel.bars.xs, panel.bars.ys, color=_COLOURS[0])
        if panel.lines:
            axes.legend(frameon=False, labelcolor=_INK, fontsize=9)
    figure.savefig(file, facecolor=_PAPER)


def smooth(values: Sequence[float], *, share: float = 0.05) -> list[float]:
    """Each value's mean with its neighbours, so many on either side that they are `share` of all."""
    reach = max(1, round(len(values) * share / 2))
    windows = (values[max(0, place - reach) : place + reach + 1] for place in range(len(values)))
    return [sum(window) / len(window) for window in windows]


def _write(picture: Image.Image, words: str, left: int, top: int) -> None:
    ImageDraw.Draw(picture).text((left, top), words, fill=_INK, font=ImageFont.load_default(18))
