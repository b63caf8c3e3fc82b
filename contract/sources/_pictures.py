"""Encoded pictures -> samples: decoded, turned upright, cropped to the middle square, resized."""

from __future__ import annotations

import dataclasses
import hashlib
import struct
import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Final

import numpy
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from contract.errors import DataError
from contract.sources._random import Integers
from contract.sources._shelves import Shelf
from contract.sources._stamps import Pixels
from contract.sources.base import (
    HELD_OUT_EVERY,
    Batch,
    Split,
    checked_indices,
    fingerprint_of,
    normalised,
    samples_to_use,
)

# Some formats that Pillow knows start other programs or reach far; these are pixels and nothing else.
FORMATS: Final = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "PPM", "TIFF")
MAX_PIXELS: Final = 80_000_000
_NAMED_AT_MOST: Final = 5
_CONTENTS_IN_FINGERPRINT: Final = 16

# All that Pillow is known to raise over bytes that are no picture; a warning is raised where they are made errors.
BROKEN: Final = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    ArithmeticError,
    LookupError,
    TypeError,
    NotImplementedError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Warning,
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    source: str
    shelf: Shelf
    places: Integers
    """Where on the shelf each sample lies."""
    classes: Integers | None
    image_size: int
    channels: int
    num_samples: int
    fingerprint: str
    description: str
    num_classes: int | None
    vocabulary_size: int | None = None

    def batch(self, indices: Sequence[int]) -> Batch:
        chosen = self.places[checked_indices(indices, self.num_samples)]
        pixels = numpy.empty((len(chosen), self.channels, self.image_size, self.image_size), dtype=numpy.uint8)
        broken = []
        for row, place in enumerate(chosen.tolist()):
            try:
                pixels[row] = decoded(self.shelf.read(place), self.image_size, self.channels)
            except BROKEN as error:
                broken.append(f"{self.shelf.name(place)} ({_reason(error)})")
        if broken:
            raise _broken(self.source, broken)
        labels = None if self.classes is None else torch.from_numpy(self.classes[chosen])
        return Batch(images=normalised(pixels), labels=labels)

    def broken(self) -> Iterator[str]:
        """The name of every sample that cannot be used, and why. Reads all there is: minutes, for a large folder."""
        for place in self.places[: self.num_samples].tolist():
            try:
                decoded(self.shelf.read(place), self.image_size, self.channels)
            except BROKEN as error:
                yield f"{self.shelf.name(place)} ({_reason(error)})"


def pictures_of(
    shelf: Shelf,
    *,
    source: str,
    split: Split,
    has_own_split: bool,
    num_samples: int | None,
    image_size: int,
    channels: int,
    description: str,
    classes: Sequence[int] | None = None,
    num_classes: int | None = None,
) -> Pictures:
    """Where the shelf holds no split of its own, every tenth is held out."""
    # Shuffled by name, for files come sorted by class or by date, and a part of them must be like the whole.
    order = sorted(range(len(shelf)), key=lambda place: hashlib.sha256(_coded(shelf.name(place))).digest())
    if not has_own_split:
        last = HELD_OUT_EVERY - 1
        order = [p for rank, p in enumerate(order) if (rank % HELD_OUT_EVERY == last) is (split == "held_out")]
    if not order:
        raise DataError(
            source,
            f"no pictures are left to be held out of {len(shelf)}",
            f"take at least {HELD_OUT_EVERY} pictures",
            looked_in=[description],
        )
    return Pictures(
        source=source,
        shelf=shelf,
        places=numpy.array(order, dtype=numpy.int64),
        classes=None if classes is None else numpy.array(classes, dtype=numpy.int64),
        image_size=image_size,
        channels=channels,
        num_samples=samples_to_use(source, len(order), num_samples),
        fingerprint=fingerprint_of(
            source="pictures",
            content=_content_digest(source, shelf),
            classes=None if classes is None else list(classes),
            split=split,
            has_own_split=has_own_split,
            image_size=image_size,
            channels=channels,
        ),
        description=description,
        num_classes=num_classes,
    )


def decoded(encoded: bytes, image_size: int, channels: int) -> Pixels:
    """uint8 of shape [channels, image_size, image_size]; one of `BROKEN` where the bytes are no picture."""
    mode = "L" if channels == 1 else "RGB"
    with Image.open(BytesIO(encoded), formats=FORMATS) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise ValueError(f"{picture.width} x {picture.height} pixels are more than {MAX_PIXELS}")
        # A large photograph is decoded at an eighth, a quarter or a half of its size where that is enough.
        picture.draft(mode, (2 * image_size, 2 * image_size))
        flat = _flat(ImageOps.exif_transpose(picture), mode)
    pixels = numpy.asarray(fitted(flat, image_size), dtype=numpy.uint8)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def fitted(picture: Image.Image, side: int) -> Image.Image:
    """The middle square, resized."""
    shorter = min(picture.size)
    left, top = (picture.width - shorter) / 2, (picture.height - shorter) / 2
    box = (left, top, left + shorter, top + shorter)
    return picture.resize((side, side), Image.Resampling.BILINEAR, box=box)


def _flat(picture: Image.Image, mode: str) -> Image.Image:
    """Transparency becomes white paper, 16 bits become 8: Pillow's own conversion would cut both off."""
    if picture.mode == "F":
        raise ValueError("a picture of floating-point numbers")
    if picture.mode.startswith("I"):
        deep = numpy.clip(numpy.asarray(picture), 0, 0xFFFF) >> 8
        picture = Image.fromarray(deep.astype(numpy.uint8))
    elif picture.has_transparency_data:
        with_alpha = picture.convert("RGBA")
        paper = Image.new("RGBA", with_alpha.size, "white")
        picture = Image.alpha_composite(paper, with_alpha)
    return picture if picture.mode == mode else picture.convert(mode)


def _content_digest(source: str, shelf: Shelf) -> str:
    """Of every name and size, and of a few whole contents: all of them would take minutes at every start."""
    digest = hashlib.sha256()
    for place in range(len(shelf)):
        digest.update(b"%s\0%d\n" % (_coded(shelf.name(place)), shelf.num_bytes(place)))
    for sample in range(min(_CONTENTS_IN_FINGERPRINT, len(shelf))):
        place = sample * len(shelf) // min(_CONTENTS_IN_FINGERPRINT, len(shelf))
        try:
            digest.update(hashlib.sha256(shelf.read(place)).digest())
        except BROKEN as error:
            raise _broken(source, [f"{shelf.name(place)} ({_reason(error)})"]) from error
    return digest.hexdigest()


def _broken(source: str, broken: Sequence[str]) -> DataError:
    named = ", ".join(broken[:_NAMED_AT_MOST])
    more = f" and {len(broken) - _NAMED_AT_MOST} more" if len(broken) > _NAMED_AT_MOST else ""
    return DataError(
        source,
        f"broken images: {named}{more}",
        "get them again, or take them out on every machine of the run: all must hold the same",
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"none of {', '.join(FORMATS)}"
    return " ".join(str(error).split()) or type(error).__name__


def _coded(name: str) -> bytes:
    return name.encode("utf-8", "backslashreplace")
