"""What a data source promises.

The same options and the same index give the same bytes, in any process, on any machine, with any number of threads:
a work unit is a range of indices, and whoever computes it a second time must see what was seen the first time. So a
source keeps to integers wherever it makes numbers up, and its fingerprint covers all that decides the bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final, Literal, Protocol, runtime_checkable

import numpy
import torch
from torch import Tensor

from contract.errors import DataError

Kind = Literal["images", "text"]
Split = Literal["train", "held_out"]

SAMPLES_OF_AN_ENDLESS_SOURCE: Final[Mapping[Split, int]] = {"train": 60_000, "held_out": 10_000}
# Of what is found on disk without a split of its own, every tenth is held out.
HELD_OUT_EVERY: Final = 10
NUM_BYTE_VALUES: Final = 256
LARGEST_IMAGE_SIZE: Final = 4096

# Two roundings at most, done once: a table is the same on every machine, vectorised arithmetic might not be.
PIXEL_VALUES: Final = (numpy.arange(256, dtype=numpy.float32) / numpy.float32(127.5)) - numpy.float32(1)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    images: Tensor | None = None
    """float32 in [-1, 1] of shape [n, channels, height, width]."""
    labels: Tensor | None = None
    """int64 of shape [n]; None where nobody labelled the images."""
    tokens: Tensor | None = None
    """int64 of shape [n, context + 1]: the inputs and, one further, what follows each of them."""


class Dataset(Protocol):
    @property
    def num_samples(self) -> int: ...

    @property
    def fingerprint(self) -> str:
        """sha256, as hex, of what decides the bytes of a sample; the number of samples is not among it."""

    @property
    def description(self) -> str:
        """What this is, in words for the person whose fingerprint differs: version, files, sizes."""

    @property
    def num_classes(self) -> int | None: ...

    @property
    def vocabulary_size(self) -> int | None: ...

    def batch(self, indices: Sequence[int]) -> Batch:
        """Safe to call from several threads; IndexError for an index that is not in range(num_samples)."""


@runtime_checkable
class DecodedDataset(Dataset, Protocol):
    """Its samples are decoded one by one from somebody's files, which takes time, and any of which may be damaged."""

    def broken(self) -> Iterator[str]:
        """The name of every sample that cannot be used, and why. Reads all there is: minutes, for a large folder."""
        ...


class Source(Protocol):
    name: ClassVar[str]

    # A property because one source, `hub`, serves both kinds and has it as an option.
    @property
    def kind(self) -> Kind: ...

    def open(
        self,
        *,
        path: Path | None,
        split: Split,
        num_samples: int | None,
        seed: int = 0,
        image_size: int = 64,
        channels: int = 1,
        context: int = 128,
    ) -> Dataset:
        """Raise DataError where the data cannot be had. A source takes of the arguments what concerns it."""


def fingerprint_of(**parts: object) -> str:
    """Of what JSON can say; bytes come in as their own sha256."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def checked_indices(indices: Sequence[int], num_samples: int) -> numpy.ndarray[tuple[int], numpy.dtype[numpy.int64]]:
    chosen = numpy.asarray(indices, dtype=numpy.int64).reshape(-1)
    if chosen.size and (chosen.min() < 0 or chosen.max() >= num_samples):
        raise IndexError(f"a sample of 0 to {num_samples - 1} is needed, not {chosen.min()}..{chosen.max()}")
    return chosen


def require_image_options(source: str, image_size: int, channels: int) -> None:
    if channels not in (1, 3):
        raise DataError(
            source, f"makes images of 1 (grey) or 3 (colour) channels, not {channels}", "set model.channels"
        )
    if not 4 <= image_size <= LARGEST_IMAGE_SIZE:
        raise DataError(
            source, f"makes images of 4 to {LARGEST_IMAGE_SIZE} pixels, not {image_size}", "set model.image_size"
        )


def samples_to_use(source: str, available: int, num_samples: int | None) -> int:
    """Too few is an error: a run that promised a number would otherwise differ from volunteer to volunteer."""
    if num_samples is None:
        return available
    if num_samples > available:
        raise DataError(
            source,
            f"there are {available} samples, not the {num_samples} of data.num_samples",
            "lower data.num_samples, or leave it unset to use all there are",
        )
    return num_samples


def normalised(pixels: numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.uint8]]) -> Tensor:
    """uint8 -> float32 in [-1, 1]."""
    return torch.from_numpy(numpy.take(PIXEL_VALUES, pixels))
