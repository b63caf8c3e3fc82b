"""Pictures made of one stamp: a grey mask, turned, scaled, moved, coloured, under noise.

All in integers of fixed point (Q8: 8 bits after the point, Q16: 16), which every machine computes alike; floating point
would differ in the last bit from processor to processor. Masks are drawn once, pictures are made of whole batches.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy
import PIL
import torch

from contract.sources._random import Draws, Integers, key_of
from contract.sources.base import (
    SAMPLES_OF_AN_ENDLESS_SOURCE,
    Batch,
    Split,
    checked_indices,
    fingerprint_of,
    normalised,
)

Pixels: TypeAlias = numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.uint8]]
Fixed: TypeAlias = numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.int32]]

FULL_TURN: Final = 4096
# Few enough for the intermediate arrays of a chunk to stay in the processor's cache.
_PIXELS_OF_A_CHUNK: Final = 24_576
_BORDER: Final = 2
_NOISE_DEVIATION: Final = 147.8


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is drawn by lot, each between the two limits. Sizes and shifts are in 1/256 of the picture's side."""

    degrees: int
    size: tuple[int, int]
    shift: int
    noise: int
    """Standard deviation, in grey levels of 255."""
    ink: tuple[int, int]
    ink_saturation: tuple[int, int]
    paper: tuple[int, int]
    paper_saturation: tuple[int, int]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stamps:
    masks: Fixed
    """Each mask's pixels with three neighbours packed beside them: one look-up feeds an interpolation."""
    look: Look
    key: int
    image_size: int
    channels: int
    num_samples: int
    fingerprint: str
    description: str
    num_classes: int | None
    vocabulary_size: int | None = None

    def batch(self, indices: Sequence[int]) -> Batch:
        chosen = checked_indices(indices, self.num_samples)
        side = self.image_size
        pixels = numpy.empty((len(chosen), self.channels, side, side), dtype=numpy.uint8)
        labels = numpy.empty(len(chosen), dtype=numpy.int64)
        step = max(1, _PIXELS_OF_A_CHUNK // (side * side))
        for start in range(0, len(chosen), step):
            part = slice(start, start + step)
            labels[part], pixels[part] = self._chunk(chosen[part])
        return Batch(images=normalised(pixels), labels=torch.from_numpy(labels))

    def _chunk(self, indices: Integers) -> tuple[Integers, Pixels]:
        draws = Draws(self.key, indices)
        labels = draws.integers(0, len(self.masks) - 1)
        coverage = self._stamped(labels, draws)
        ink_hue, paper_hue = draws.integers(0, 1535), draws.integers(0, 1535)
        ink = self._colours(ink_hue, draws.integers(*self.look.ink), draws.integers(*self.look.ink_saturation))
        paper = self._colours(paper_hue, draws.integers(*self.look.paper), draws.integers(*self.look.paper_saturation))
        picture = coverage[:, None] * (ink - paper)[:, :, None, None]
        picture >>= 8
        picture += paper[:, :, None, None]
        if self.look.noise:
            noise = draws.bell_bytes(picture[0].size).reshape(picture.shape)
            noise *= round(self.look.noise * 256 / _NOISE_DEVIATION)
            noise >>= 8
            picture += noise
        return labels, numpy.clip(picture, 0, 255, out=picture).astype(numpy.uint8)

    def _stamped(self, labels: Integers, draws: Draws) -> Fixed:
        """0 where only paper is, 256 where all is ink."""
        side, look = self.image_size, self.look
        span = look.degrees * FULL_TURN // 360
        turn = draws.integers(-span, span) % FULL_TURN
        # In Q8 pixels of the picture.
        size = draws.integers(look.size[0] * side, look.size[1] * side)
        centre_x = side * 128 + draws.integers(-look.shift * side, look.shift * side)
        centre_y = side * 128 + draws.integers(-look.shift * side, look.shift * side)
        stamp = self.masks.shape[1] - 2 * _BORDER
        # Q14 * Q8 / Q8 -> Q14, and two bits more: pixels of the mask for each pixel of the picture, in Q16.
        cosine = (_COSINES[turn] * (stamp << 8) // size) << 2
        sine = (_COSINES[(turn - FULL_TURN // 4) % FULL_TURN] * (stamp << 8) // size) << 2
        middle = stamp << 15
        # At the middle of the picture's first pixel, measured to the middle of the mask's.
        first_u = middle - ((cosine * (centre_x - 128) + sine * (centre_y - 128)) >> 8) - (1 << 15)
        first_v = middle - ((cosine * (centre_y - 128) - sine * (centre_x - 128)) >> 8) - (1 << 15)
        places = numpy.arange(side, dtype=numpy.int64)
        along, across = cosine[:, None] * places, sine[:, None] * places
        u = along.astype(numpy.int32)[:, None, :] + (first_u[:, None] + across).astype(numpy.int32)[:, :, None]
        v = (-across).astype(numpy.int32)[:, None, :] + (first_v[:, None] + along).astype(numpy.int32)[:, :, None]
        return self._interpolated(labels, u, v)

    def _interpolated(self, labels: Integers, u: Fixed, v: Fixed) -> Fixed:
        width = self.masks.shape[1]
        rows = numpy.clip((v >> 16) + _BORDER, 0, width - 1)
        rows *= width
        rows += numpy.clip((u >> 16) + _BORDER, 0, width - 1)
        rows += (labels * (width * width)).astype(numpy.int32)[:, None, None]
        packed: Fixed = numpy.take(self.masks.reshape(-1), rows)
        u >>= 8
        u &= 255
        v >>= 8
        v &= 255
        # Left and right neighbours of both rows at once, in two lanes of 16 bits. A sign does no harm: the lanes are
        # masked before they are read.
        left = packed & 0x00FF00FF
        packed >>= 8
        packed &= 0x00FF00FF
        packed -= left
        packed *= u
        left <<= 8
        packed += left
        upper = packed & 0xFFFF
        upper >>= 8
        packed >>= 24
        packed &= 255
        packed -= upper
        packed *= v
        packed >>= 8
        packed += upper
        # 255 is all ink.
        packed += packed >> 7
        return packed

    def _colours(self, hue: Integers, value: Integers, saturation: Integers) -> Fixed:
        if self.channels == 1:
            return value.astype(numpy.int32)[:, None]
        faded: Integers = 255 - ((255 - _HUES[hue]) * saturation[:, None] + 127) // 255
        return ((faded * value[:, None] + 127) // 255).astype(numpy.int32)


def packed_masks(masks: Sequence[Pixels]) -> Fixed:
    """Square masks of one size -> the table that `Stamps` looks up, with a border of nothing."""
    padded = numpy.pad(numpy.stack(masks), ((0, 0), (_BORDER, _BORDER + 1), (_BORDER, _BORDER + 1))).astype(
        numpy.uint32
    )
    here, right = padded[:, :-1, :-1], padded[:, :-1, 1:]
    below, diagonal = padded[:, 1:, :-1], padded[:, 1:, 1:]
    packed = here | right << numpy.uint32(8) | below << numpy.uint32(16) | diagonal << numpy.uint32(24)
    table: Fixed = packed.view(numpy.int32)
    return table


def stamps(
    *,
    source: str,
    masks: Sequence[Pixels],
    look: Look,
    split: Split,
    num_samples: int | None,
    seed: int,
    image_size: int,
    channels: int,
    description: str,
) -> Stamps:
    return Stamps(
        masks=packed_masks(masks),
        look=look,
        key=key_of(source, split, seed),
        image_size=image_size,
        channels=channels,
        num_samples=SAMPLES_OF_AN_ENDLESS_SOURCE[split] if num_samples is None else num_samples,
        fingerprint=fingerprint_of(
            source=source,
            # Another version of the font's renderer may draw other masks: this is how it is noticed.
            masks=hashlib.sha256(b"".join(mask.tobytes() for mask in masks)).hexdigest(),
            look=dataclasses.asdict(look),
            split=split,
            seed=seed,
            image_size=image_size,
            channels=channels,
        ),
        description=f"{description}, drawn by Pillow {PIL.__version__}",
        num_classes=len(masks),
    )


def require_drawable(*, rotation_degrees: int, shift_percent: int, noise: int) -> None:
    if not 0 <= rotation_degrees <= 180:
        raise ValueError("rotation_degrees must be 0 to 180")
    if not 0 <= shift_percent <= 50:
        raise ValueError("shift_percent must be 0 to 50")
    if not 0 <= noise <= 100:
        raise ValueError("noise must be 0 to 100 grey levels")


def _cosines() -> Integers:
    """Q14. Rounded this coarsely, the mathematical libraries of all machines agree."""
    return numpy.array([round(math.cos(2 * math.pi * step / FULL_TURN) * (1 << 14)) for step in range(FULL_TURN)])


def _hues() -> Integers:
    """Fully saturated colours around the wheel, red at 0."""
    ramp: Integers = numpy.abs((numpy.arange(1536)[:, None] + numpy.array([0, 1024, 512])) % 1536 - 768)
    return (ramp - 256).clip(0, 255)


_COSINES: Final = _cosines()
_HUES: Final = _hues()
