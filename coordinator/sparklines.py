"""Curves and pictures made of letters. Pure: numbers in, text out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy
from numpy.typing import NDArray
from rich.color import Color
from rich.style import Style
from rich.text import Text

Pixels = NDArray[numpy.uint8]

_BARS: Final = " ▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], *, width: int, height: int = 1) -> list[str]:
    """`height` lines of `width` letters at most, the highest first; the newest value stands at the right."""
    points = _averaged(values, width)
    if not points:
        return [""] * height
    low, high = min(points), max(points)
    # Never empty: the lowest value shows a foot of one eighth.
    steps = 8 * height - 1
    heights = [1 + round(steps * (point - low) / (high - low)) if high > low else 4 * height for point in points]
    return ["".join(_BARS[min(8, max(0, eighths - 8 * row))] for eighths in heights) for row in reversed(range(height))]


def _averaged(values: Sequence[float], width: int) -> list[float]:
    count = min(width, len(values))
    edges = [len(values) * place // count for place in range(count + 1)] if count else []
    return [sum(values[first:end]) / (end - first) for first, end in itertools.pairwise(edges) if end > first]


def thumbnails(images: Pixels, *, width: int, height: int, side: int = 16) -> Text:
    """As many of the images [n, h, w, 1 or 3] as fit, each `side` columns wide; a letter shows two pixels."""
    per_row, rows = (width + 1) // (side + 1), height // (side // 2)
    shown = images[: per_row * rows]
    lines: list[Text] = []
    for first in range(0, len(shown), per_row):
        small = [_shrunk(image, side) for image in shown[first : first + per_row]]
        lines += [_row(small, y) for y in range(0, side, 2)]
    return Text("\n").join(lines)


def _shrunk(image: Pixels, side: int) -> Pixels:
    """The means of blocks where the sizes allow it, else the nearest pixels: a thumbnail, not a measurement."""
    step = max(1, image.shape[0] // side)
    if image.shape[:2] == (step * side, step * side):
        blocks = image.reshape(side, step, side, step, image.shape[2])
        small: Pixels = blocks.mean(axis=(1, 3)).astype(numpy.uint8)
        return small
    rows = numpy.arange(side) * image.shape[0] // side
    columns = numpy.arange(side) * image.shape[1] // side
    nearest: Pixels = image[rows][:, columns]
    return nearest


def _row(images: Sequence[Pixels], y: int) -> Text:
    line = Text()
    for place, image in enumerate(images):
        if place:
            line.append(" ")
        for upper, lower in zip(image[y].tolist(), image[y + 1].tolist(), strict=True):
            line.append("▀", _style(tuple(upper), tuple(lower)))
    return line


@lru_cache(maxsize=1 << 14)
def _style(upper: tuple[int, ...], lower: tuple[int, ...]) -> Style:
    return Style(color=_color(upper), bgcolor=_color(lower))


def _color(pixel: tuple[int, ...]) -> Color:
    # In 32 steps: more than a thumbnail shows, and few enough to be made once.
    red, green, blue = (pixel[place % len(pixel)] & 0xF8 for place in range(3))
    return Color.from_rgb(red, green, blue)
