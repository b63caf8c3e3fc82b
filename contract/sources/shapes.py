"""Coloured shapes: what an adversarial pair learns first, and what looks well on a projector."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Final, TypeAlias

import numpy
from PIL import Image, ImageDraw

from contract.sources._stamps import Look, Pixels, require_drawable, stamps
from contract.sources.base import Dataset, Kind, Split, require_image_options

Corners: TypeAlias = list[tuple[float, float]]

# Drawn this much larger and averaged, because Pillow's polygons have hard edges.
_OVERSAMPLING: Final = 8


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    """Options: what is drawn by lot. The class of a picture is its shape."""

    name: ClassVar[str] = "shapes"
    kind: ClassVar[Kind] = "images"
    rotation_degrees: int = 180
    shift_percent: int = 12
    noise: int = 0

    def __post_init__(self) -> None:
        require_drawable(rotation_degrees=self.rotation_degrees, shift_percent=self.shift_percent, noise=self.noise)

    def open(
        self,
        *,
        path: Path | None = None,
        split: Split = "train",
        num_samples: int | None = None,
        seed: int = 0,
        image_size: int = 64,
        channels: int = 1,
        context: int = 128,
    ) -> Dataset:
        require_image_options(self.name, image_size, channels)
        masks = _masks(max(4, min(image_size, 256) * 3 // 4))
        look = Look(
            degrees=self.rotation_degrees,
            size=(128, 192),
            shift=self.shift_percent * 256 // 100,
            noise=self.noise,
            ink=(205, 255),
            ink_saturation=(150, 235),
            paper=(24, 84),
            paper_saturation=(60, 190),
        )
        return stamps(
            source=self.name,
            masks=masks,
            look=look,
            split=split,
            num_samples=num_samples,
            seed=seed,
            image_size=image_size,
            channels=channels,
            description=f"{len(masks)} shapes ({', '.join(SHAPES)})",
        )


@lru_cache(maxsize=8)
def _masks(side: int) -> tuple[Pixels, ...]:
    return tuple(_mask(draw, side) for draw in SHAPES.values())


def _mask(corners: Callable[[], Corners], side: int) -> Pixels:
    large = side * _OVERSAMPLING
    picture = Image.new("L", (large, large))
    points = [(large * (1 + x) / 2, large * (1 + y) / 2) for x, y in corners()]
    ImageDraw.Draw(picture).polygon(points, fill=255)
    return numpy.asarray(picture.reduce(_OVERSAMPLING), dtype=numpy.uint8)


def _regular(num_corners: int, *, inner_radius: float | None = None) -> Corners:
    """Within the unit circle, one corner at the top; with an inner radius, a star."""
    radii = [1.0] if inner_radius is None else [1.0, inner_radius]
    num_points = num_corners * len(radii)
    return [
        (radius * math.sin(angle), -radius * math.cos(angle))
        for point in range(num_points)
        for radius, angle in [(radii[point % len(radii)], 2 * math.pi * point / num_points)]
    ]


def _circle() -> Corners:
    return [(0.86 * x, 0.86 * y) for x, y in _regular(96)]


def _square() -> Corners:
    return [(x, y) for x, y in ((-0.72, -0.72), (0.72, -0.72), (0.72, 0.72), (-0.72, 0.72))]


def _cross() -> Corners:
    arm, half = 0.92, 0.3
    quarter = [(-half, -arm), (half, -arm), (half, -half)]
    corners: Corners = []
    for _ in range(4):
        corners += quarter
        quarter = [(-y, x) for x, y in quarter]
    return corners


def _heart() -> Corners:
    angles = [2 * math.pi * step / 96 for step in range(96)]
    return [
        (
            0.056 * 16 * math.sin(a) ** 3,
            -0.056 * (13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)) - 0.1,
        )
        for a in angles
    ]


SHAPES: Final[Mapping[str, Callable[[], Corners]]] = {
    "circle": _circle,
    "square": _square,
    "triangle": lambda: _regular(3),
    "hexagon": lambda: _regular(6),
    "star": lambda: _regular(5, inner_radius=0.42),
    "cross": _cross,
    "heart": _heart,
}
