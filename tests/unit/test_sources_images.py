from __future__ import annotations

import struct
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from contract.errors import DataError
from contract.sources import SOURCES, Dataset, Split
from contract.sources._pictures import Pictures, decoded
from tests.unit.source_examples import picture, picture_files, write_files, zip_of


def opened(path: Path | None, split: Split = "train", size: int = 16, channels: int = 3, **options: object) -> Dataset:
    source = SOURCES.build("images", options)
    return source.open(path=path, split=split, num_samples=None, image_size=size, channels=channels)


def problem_of(path: Path | None, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        dataset = opened(path, **options)
        dataset.batch(range(dataset.num_samples))
    return str(caught.value)


def encoded(image: Image.Image, image_format: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def huge_png(width: int, height: int) -> bytes:
    """A few bytes that claim to be gigabytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


def test_a_zip_and_its_folders_are_the_same(tmp_path: Path) -> None:
    files = picture_files(30, "img_align_celeba/")
    write_files(tmp_path / "around", files)
    (tmp_path / "faces.zip").write_bytes(zip_of(files))
    places = [tmp_path / "around", tmp_path / "around" / "img_align_celeba", tmp_path / "faces.zip"]
    datasets = [opened(place) for place in places]
    assert len({dataset.fingerprint for dataset in datasets}) == 1
    assert len({dataset.batch(range(20)).images.numpy().tobytes() for dataset in datasets}) == 1  # type: ignore[union-attr]


def test_a_zip_is_read_by_several_threads(tmp_path: Path) -> None:
    (tmp_path / "faces.zip").write_bytes(zip_of(picture_files(100)))
    dataset = opened(tmp_path / "faces.zip")
    alone = dataset.batch(range(90)).images
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda index: dataset.batch([index]).images, range(90)))
    assert alone is not None
    assert torch.equal(torch.cat([part for part in parts if part is not None]), alone)


def test_every_tenth_picture_is_held_out(tmp_path: Path) -> None:
    write_files(tmp_path, picture_files(40))
    assert (opened(tmp_path).num_samples, opened(tmp_path, "held_out").num_samples) == (36, 4)


@pytest.mark.parametrize("folder", ["test", "val", "held_out"])
def test_folders_may_be_the_split(tmp_path: Path, folder: str) -> None:
    write_files(tmp_path, {**picture_files(8, "train/a/"), **picture_files(3, f"{folder}/b/")})
    trained, held_out = opened(tmp_path, labels="folders"), opened(tmp_path, "held_out", labels="folders")
    assert (trained.num_samples, held_out.num_samples) == (8, 3)
    assert trained.num_classes == held_out.num_classes == 2
    assert held_out.batch(range(3)).labels.tolist() == [1, 1, 1]  # type: ignore[union-attr]


def test_folders_may_be_classes(tmp_path: Path) -> None:
    white, black = (encoded(Image.new("RGB", (9, 9), colour)) for colour in ("white", "black"))
    write_files(
        tmp_path, {f"{name}/{n}.png": content for name, content in (("cat", white), ("dog", black)) for n in range(30)}
    )
    batch = opened(tmp_path, labels="folders").batch(range(20))
    assert batch.images is not None
    assert batch.labels is not None
    assert set(batch.labels.tolist()) == {0, 1}, "a part of the samples is like the whole"
    assert ((batch.images.mean((1, 2, 3)) < 0).long() == batch.labels).all()


def test_without_labels_there_are_none(tmp_path: Path) -> None:
    assert opened(write_files(tmp_path, picture_files(20))).batch([0]).labels is None


@pytest.mark.parametrize("files", [picture_files(20), {**picture_files(9, "a/"), "stray.png": picture(1)}])
def test_classes_need_folders(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert "data.options.labels: none" in problem_of(write_files(tmp_path, files), labels="folders")


def test_broken_pictures_are_named(tmp_path: Path) -> None:
    write_files(
        tmp_path, {**picture_files(60), **{f"bad{n}.png": picture(n)[:60] for n in range(3)}, "z.jpg": b"<html>"}
    )
    dataset = opened(tmp_path)
    assert isinstance(dataset, Pictures)
    named = sorted(name.split(" ")[0] for name in [*dataset.broken(), *opened(tmp_path, "held_out").broken()])  # type: ignore[attr-defined]
    assert named == ["bad0.png", "bad1.png", "bad2.png", "z.jpg"]
    with pytest.raises(DataError, match=r"broken images: .*\.(png|jpg) \("):
        dataset.batch(range(dataset.num_samples))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        huge_png(50_000, 50_000),
        huge_png(9_500, 9_000),
    ],
    ids=["empty", "png", "gif", "postscript", "gigabytes", "large"],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_hostile_pictures_cost_nothing_but_a_message(tmp_path: Path, content: bytes) -> None:
    write_files(tmp_path, {f"{n}.png": content for n in range(11)})
    assert "broken images: " in problem_of(tmp_path)


def test_a_zip_bomb_is_not_unfolded(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.png", "w") as member,
    ):
        for _ in range(129):
            member.write(bytes(1 << 20))
    assert "a.png (135266304 bytes are more than" in problem_of(tmp_path / "bomb.zip")


def test_a_zip_that_lies_about_its_sizes_is_caught(tmp_path: Path) -> None:
    honest = zip_of({"a.png": bytes(100_000)})
    lie = honest.replace(struct.pack("<I", 100_000), struct.pack("<I", 50))
    (tmp_path / "lie.zip").write_bytes(lie)
    assert "broken images: a.png" in problem_of(tmp_path / "lie.zip")


def test_a_locked_zip_is_told(tmp_path: Path) -> None:
    content = bytearray(zip_of(picture_files(1)))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(content)
    assert "locked with a password" in problem_of(tmp_path / "locked.zip")


def test_half_a_zip_is_told(tmp_path: Path) -> None:
    (tmp_path / "half.zip").write_bytes(zip_of(picture_files(20))[:-200])
    assert "no zip, or half of one" in problem_of(tmp_path / "half.zip")


def test_names_in_a_zip_are_only_names(tmp_path: Path) -> None:
    (tmp_path / "odd.zip").write_bytes(
        zip_of({f"../../{name}": content for name, content in picture_files(20).items()})
    )
    assert opened(tmp_path / "odd.zip").batch([0]).images is not None
    assert [file.name for file in tmp_path.iterdir()] == ["odd.zip"]


def test_what_macos_leaves_in_a_zip_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "mac.zip").write_bytes(zip_of({**picture_files(20), "__MACOSX/._000.png": b"x", ".DS_Store": b"x"}))
    assert opened(tmp_path / "mac.zip").num_samples == 18


def test_a_folder_around_a_zip_says_which(tmp_path: Path) -> None:
    (tmp_path / "faces.zip").write_bytes(zip_of(picture_files(3)))
    assert f"set data.path to {tmp_path / 'faces.zip'}" in problem_of(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert "no pictures are here" in problem_of(tmp_path)


def test_too_few_pictures_to_hold_any_out(tmp_path: Path) -> None:
    write_files(tmp_path, picture_files(3))
    with pytest.raises(DataError, match="take at least 10 pictures"):
        opened(tmp_path, "held_out")


def test_the_middle_is_kept() -> None:
    stripes = Image.new("RGB", (60, 20), "black")
    stripes.paste("white", (20, 0, 40, 20))
    assert decoded(encoded(stripes), 8, 1).min() > 200


def test_a_camera_held_upright_is_turned() -> None:
    half = Image.new("L", (32, 32))
    half.paste(255, (0, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the scene is at the right of the picture
    pixels = decoded(encoded(half, "JPEG", exif=exif), 32, 1)
    assert pixels[0, :, 20:].mean() > 240 > 20 > pixels[0, :, :12].mean()


def test_transparency_is_white_paper() -> None:
    assert decoded(encoded(Image.new("RGBA", (9, 9), (0, 0, 0, 0))), 8, 3).min() == 255


def test_sixteen_bits_become_eight() -> None:
    deep = Image.fromarray(numpy.full((9, 9), 0x8040, dtype=numpy.uint16))
    assert set(decoded(encoded(deep), 8, 1).flatten().tolist()) == {0x80}


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_png_is_read(mode: str, channels: int) -> None:
    assert decoded(picture(1, mode=mode), 8, channels).shape == (channels, 8, 8)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "PPM", "TIFF"])
def test_every_format_is_read(image_format: str) -> None:
    assert decoded(picture(1, image_format=image_format), 8, 3).shape == (3, 8, 8)


def test_a_large_photograph_is_as_good_reduced() -> None:
    ramp = Image.linear_gradient("L").resize((1600, 1600))
    whole = decoded(encoded(ramp), 32, 1).astype(int)
    assert abs(decoded(encoded(ramp, "JPEG", quality=95), 32, 1) - whole).max() <= 3
