from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy
import pytest

from contract.errors import DataError
from contract.sources import SOURCES, Dataset, Split
from tests.unit.source_examples import digits, mnist_files, write_files

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def opened(path: Path, split: Split = "train", size: int = 28, channels: int = 1, **options: object) -> Dataset:
    source = SOURCES.build("mnist", options)
    return source.open(path=path, split=split, num_samples=None, image_size=size, channels=channels)


def problem_of(path: Path, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        opened(path, **options)
    return str(caught.value)


def test_pixels_and_labels_are_those_of_the_files(tmp_path: Path) -> None:
    batch = opened(write_files(tmp_path, mnist_files())).batch([3, 14])
    assert batch.images is not None
    assert batch.labels is not None
    pixels = ((batch.images + 1) * 127.5).round().numpy().astype(numpy.uint8)
    assert numpy.array_equal(pixels[:, 0], digits(30)[[3, 14]])
    assert batch.labels.tolist() == [3, 4]


def test_the_held_out_files_are_used(tmp_path: Path) -> None:
    batch = opened(write_files(tmp_path, mnist_files()), "held_out").batch([0])
    assert batch.images is not None
    assert numpy.array_equal(((batch.images[0, 0] + 1) * 127.5).round().numpy(), digits(30)[-1])


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: f"{name}.gz",
        lambda name: f"MNIST/raw/{name}",
        lambda name: name.replace("-idx", ".idx"),
        lambda name: f"emnist-digits-{name}.gz",
    ],
)
def test_packed_nested_and_renamed_files_are_the_same(tmp_path: Path, rename: object) -> None:
    plain = opened(write_files(tmp_path / "plain", mnist_files()))
    assert callable(rename)
    renamed = {rename(name): content for name, content in mnist_files().items()}
    packed = {name: gzip.compress(content) if name.endswith(".gz") else content for name, content in renamed.items()}
    assert opened(write_files(tmp_path / "other", packed)).fingerprint == plain.fingerprint


def test_digits_grow_and_become_colour(tmp_path: Path) -> None:
    images = opened(write_files(tmp_path, mnist_files()), size=32, channels=3).batch(range(5)).images
    assert images is not None
    assert images.shape == (5, 3, 32, 32)
    assert images.is_contiguous()


def with_file(name: str, content: bytes) -> dict[str, bytes]:
    return {**mnist_files(), name: content}


GOOD_IMAGES, GOOD_LABELS = mnist_files()[IMAGES], mnist_files()[LABELS]


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (with_file(IMAGES, b""), "ends after 0 bytes"),
        (with_file(IMAGES, GOOD_LABELS), "not with 0x00000803"),
        (with_file(LABELS, GOOD_IMAGES), "not with 0x00000801"),
        (with_file(IMAGES, GOOD_IMAGES[:-1]), "bytes follow where 23520 should"),
        (with_file(IMAGES, GOOD_IMAGES + b"x"), "more bytes follow where 23520 should"),
        (with_file(IMAGES, struct.pack(">4I", 0x803, 2**32 - 1, 2**16, 2**16)), "claims 4294967295 x"),
        (with_file(LABELS, GOOD_LABELS[:4] + struct.pack(">I", 29) + GOOD_LABELS[8:-1]), "30 images have 29 labels"),
        (with_file(LABELS, GOOD_LABELS[:-1] + b"\x0a"), "a label is 10, of 10 classes"),
        (with_file(IMAGES, gzip.compress(GOOD_IMAGES)[:-20]), "cannot be read"),
        (with_file(IMAGES, gzip.compress(GOOD_IMAGES + bytes(10**7))), "more bytes follow"),
        (with_file(f"more/{IMAGES}", GOOD_IMAGES), "more than one file fits"),
        ({}, "no file fits"),
    ],
)
def test_wrong_files_are_told(tmp_path: Path, files: dict[str, bytes], problem: str) -> None:
    message = problem_of(write_files(tmp_path, files))
    assert problem in message
    assert f"looked in {tmp_path}" in message


def test_letters_may_be_more_than_ten(tmp_path: Path) -> None:
    write_files(tmp_path, with_file(LABELS, GOOD_LABELS[:-1] + b"\x19"))
    assert opened(tmp_path, num_classes=26).num_classes == 26
