"""Digits and letters of Pillow's own font: endless, offline, and learnt in a minute."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Final, Literal

import numpy
from PIL import Image, ImageDraw, ImageFont

from contract.errors import DataError
from contract.sources._stamps import Look, Pixels, require_drawable, stamps
from contract.sources.base import Dataset, Kind, Split, require_image_options

CHARACTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Glyphs:
    """Options: 10 classes are the digits, 36 digits and capital letters; the rest is what is drawn by lot."""

    name: ClassVar[str] = "glyphs"
    kind: ClassVar[Kind] = "images"
    num_classes: Literal[10, 36] = 10
    rotation_degrees: int = 12
    shift_percent: int = 6
    noise: int = 8

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
        masks = _masks(min(image_size, 256))[: self.num_classes]
        look = Look(
            degrees=self.rotation_degrees,
            size=(192, 248),
            shift=self.shift_percent * 256 // 100,
            noise=self.noise,
            ink=(190, 255),
            ink_saturation=(0, 170),
            paper=(0, 56),
            paper_saturation=(60, 200),
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
            description=f"{self.num_classes} glyphs",
        )


@lru_cache(maxsize=8)
def _masks(side: int) -> tuple[Pixels, ...]:
    try:
        font = ImageFont.load_default(round(side * 0.96))
    except (ImportError, OSError) as error:
        raise DataError(
            Glyphs.name, f"this Pillow cannot draw text ({error})", "run `pip install --force-reinstall pillow`"
        ) from error
    return tuple(_mask(character, font, side) for character in CHARACTERS)


def _mask(character: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, side: int) -> Pixels:
    """Centred by its ink, not by its box in a line of text."""
    # A little bolder than the font is: thin strokes fade at 28 pixels and on a projector.
    stroke = side / 48
    left, top, right, bottom = font.getbbox(character, stroke_width=stroke)
    picture = Image.new("L", (side, side))
    corner = (round((side - left - right) / 2), round((side - top - bottom) / 2))
    ImageDraw.Draw(picture).text(corner, character, fill=255, font=font, stroke_width=stroke)
    return numpy.asarray(picture, dtype=numpy.uint8)
