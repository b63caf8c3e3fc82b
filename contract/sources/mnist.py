"""Handwritten digits and what is kept in the same form: IDX files in a folder, or parquet on the Hub."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import math
import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

import numpy
import torch
from PIL import Image

from contract.errors import DataError
from contract.sources._download import downloaded
from contract.sources._files import Found, files_below, readable_name, require_path
from contract.sources._parquet import pictures_in
from contract.sources._pictures import BROKEN, decoded, fitted
from contract.sources._random import Integers
from contract.sources._stamps import Pixels
from contract.sources.base import (
    Batch,
    Dataset,
    Kind,
    Split,
    checked_indices,
    fingerprint_of,
    normalised,
    require_image_options,
    samples_to_use,
)

_PREFIXES: Final = {"train": "train", "held_out": "t10k|test"}
_IMAGES: Final = 0x00000803
_LABELS: Final = 0x00000801
_MAX_BYTES: Final = 4 << 30
_SIDE: Final = 28


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    pixels: Pixels
    classes: Integers
    image_size: int
    channels: int
    num_samples: int
    fingerprint: str
    description: str
    num_classes: int | None
    vocabulary_size: int | None = None

    def batch(self, indices: Sequence[int]) -> Batch:
        chosen = checked_indices(indices, self.num_samples)
        pixels = self.pixels[chosen]
        side = self.image_size
        if pixels.shape[1:] != (side, side):
            resized = numpy.empty((len(chosen), side, side), dtype=numpy.uint8)
            for row, picture in enumerate(pixels):
                resized[row] = numpy.asarray(fitted(Image.fromarray(picture), side))
            pixels = resized
        grey = normalised(pixels)[:, None]
        return Batch(
            images=grey.expand(-1, self.channels, -1, -1).contiguous(), labels=torch.from_numpy(self.classes[chosen])
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mnist:
    """Options: `repository` is where the Hub has it (used where data.path is unset), `num_classes` is 10 digits.

    Fashion-MNIST, EMNIST and others in the same form serve as well.
    """

    name: ClassVar[str] = "mnist"
    kind: ClassVar[Kind] = "images"
    repository: str = "ylecun/mnist"
    num_classes: int = 10

    def __post_init__(self) -> None:
        if not 2 <= self.num_classes <= 256:
            raise ValueError("num_classes must be 2 to 256")

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
        if path is None:
            pixels, classes, where = self._from_hub(split)
        else:
            pixels, classes, where = self._from_folder(
                require_path(self.name, path, "the folder with the IDX files, or unset it to use the Hub"), split
            )
        if len(pixels) != len(classes):
            raise self._refusal(f"{len(pixels)} images have {len(classes)} labels", where)
        if not len(pixels) or int(classes.max()) >= self.num_classes:
            problem = f"a label is {int(classes.max())}" if len(pixels) else "there are no images"
            raise self._refusal(f"{problem}, of {self.num_classes} classes", where, "set data.options.num_classes")
        return Digits(
            pixels=pixels,
            classes=classes,
            image_size=image_size,
            channels=channels,
            num_samples=samples_to_use(self.name, len(pixels), num_samples),
            fingerprint=fingerprint_of(
                source=self.name,
                pixels=hashlib.sha256(pixels.tobytes()).hexdigest(),
                classes=hashlib.sha256(classes.astype("<i8").tobytes()).hexdigest(),
                shape=list(pixels.shape),
                split=split,
                image_size=image_size,
                channels=channels,
            ),
            description=f"{len(pixels)} images of {where}",
            num_classes=self.num_classes,
        )

    def _from_hub(self, split: Split) -> tuple[Pixels, Integers, str]:
        word = "train" if split == "train" else "test"
        found = downloaded(
            self.name,
            repository=self.repository,
            revision="main",
            patterns=[f"*{word}*.parquet"],
            option="repository",
            cache=None,
        )
        where = f"{self.repository} of the Hub, commit {found.commit[:12]}"
        rows = pictures_in(self.name, found.files)
        if rows.classes is None:
            raise self._refusal("the images are not labelled", where, "set data.options.repository")
        pixels = numpy.empty((len(rows.contents), _SIDE, _SIDE), dtype=numpy.uint8)
        for place, encoded in enumerate(rows.contents):
            try:
                pixels[place] = decoded(encoded, _SIDE, 1)
            except BROKEN as error:
                raise self._refusal(f"broken image: {rows.names[place]} ({error})", where) from error
        return pixels, numpy.array(rows.classes, dtype=numpy.int64), where

    def _from_folder(self, folder: Path, split: Split) -> tuple[Pixels, Integers, str]:
        where = readable_name(str(folder.absolute()))
        files = files_below(self.name, folder if folder.is_dir() else folder.parent)
        images = self._only(files, rf"({_PREFIXES[split]})-images[-.]idx3-ubyte(\.gz)?$", where)
        labels = self._only(files, rf"({_PREFIXES[split]})-labels[-.]idx1-ubyte(\.gz)?$", where)
        return self._read(images, _IMAGES), self._read(labels, _LABELS).astype(numpy.int64), where

    def _only(self, files: Sequence[Found], pattern: str, where: str) -> Found:
        fitting = {file.name.removesuffix(".gz"): file for file in files if re.search(pattern, file.name)}
        if len(fitting) == 1:
            return next(iter(fitting.values()))
        problem = f"more than one file fits: {', '.join(sorted(fitting))}" if fitting else f"no file fits {pattern}"
        raise self._refusal(problem, where, "give data.path one folder with the IDX files, or unset it to use the Hub")

    def _read(self, found: Found, magic: int) -> Pixels:
        where = readable_name(str(found.path.absolute()))
        num_dimensions = magic & 0xFF
        header = struct.Struct(f">I{num_dimensions}I")
        try:
            with found.path.open("rb") as plain:
                is_packed = plain.read(2) == b"\x1f\x8b"
            with gzip.open(found.path) if is_packed else found.path.open("rb") as file:
                start = file.read(header.size)
                if len(start) < header.size:
                    raise self._refusal(f"the file ends after {len(start)} bytes", where)
                found_magic, *shape = header.unpack(start)
                if found_magic != magic:
                    raise self._refusal(f"it begins with {found_magic:#010x}, not with {magic:#010x}", where)
                expected = math.prod(shape)
                if expected > _MAX_BYTES:
                    raise self._refusal(f"it claims {' x '.join(map(str, shape))} values", where)
                # One more than there should be shows what follows, however much a packed file unfolds to.
                content = file.read(expected + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise self._refusal(f"the file cannot be read ({error})", where) from error
        if len(content) != expected:
            found_bytes = "more" if len(content) > expected else str(len(content))
            raise self._refusal(f"{found_bytes} bytes follow where {expected} should", where)
        return numpy.frombuffer(content, dtype=numpy.uint8).reshape(shape)

    def _refusal(self, problem: str, where: str, advice: str = "download the files again") -> DataError:
        return DataError(self.name, problem, advice, looked_in=[where])
