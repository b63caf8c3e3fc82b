"""Data for the sources that make none of their own."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy
import pyarrow
import pyarrow.parquet
from PIL import Image


def picture(number: int, *, size: tuple[int, int] = (20, 16), image_format: str = "PNG", mode: str = "RGB") -> bytes:
    generator = numpy.random.default_rng(number)
    pixels = generator.integers(0, 256, (size[1], size[0], 3), dtype=numpy.uint8)
    encoded = BytesIO()
    Image.fromarray(pixels).convert(mode).save(encoded, image_format)
    return encoded.getvalue()


def picture_files(count: int, folder: str = "") -> dict[str, bytes]:
    return {f"{folder}{number:03}.png": picture(number) for number in range(count)}


def write_files(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def zip_of(files: Mapping[str, bytes]) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def idx_images(pixels: numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.uint8]]) -> bytes:
    return struct.pack(">4I", 0x803, *pixels.shape) + pixels.tobytes()


def idx_labels(labels: list[int]) -> bytes:
    return struct.pack(">2I", 0x801, len(labels)) + bytes(labels)


def digits(count: int) -> numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.uint8]]:
    return numpy.random.default_rng(7).integers(0, 256, (count, 28, 28), dtype=numpy.uint8)


def mnist_files(count: int = 30) -> dict[str, bytes]:
    labels = [number % 10 for number in range(count)]
    return {
        f"{prefix}-{name}": content
        for prefix, pixels in (("train", digits(count)), ("t10k", digits(count)[::-1]))
        for name, content in (("images-idx3-ubyte", idx_images(pixels)), ("labels-idx1-ubyte", idx_labels(labels)))
    }


def parquet(columns: Mapping[str, object]) -> bytes:
    buffer = BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(dict(columns)), buffer)
    return buffer.getvalue()


def wikitext(num_rows: int = 300) -> dict[str, bytes]:
    return {
        f"wikitext-2-raw-v1/{split}-00000-of-00001.parquet": parquet(
            {"text": [f" {split} line {row} of an encyclopedia \n" for row in range(num_rows)]}
        )
        for split in ("train", "test", "validation")
    }


TEXT = b"".join(b"Line %d says nothing that line %d has not said.\n" % (n, n - 1) for n in range(400))
