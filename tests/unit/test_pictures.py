from __future__ import annotations

import io
from pathlib import Path

import numpy
import pytest
from PIL import Image

from contract.errors import MissingExtra
from coordinator.pictures import (
    NUM_IMAGES,
    Line,
    Panel,
    Pixels,
    Stage,
    grid_of,
    images_in,
    pixels_from,
    save_curves,
    save_growth,
    save_samples_through_time,
    smooth,
)


def images(channels: int = 1, *, level: int | None = None, number: int = 9) -> Pixels:
    if level is not None:
        return numpy.full((number, 16, 16, channels), level, dtype=numpy.uint8)
    drawn: Pixels = numpy.random.default_rng(0).integers(0, 256, (number, 16, 16, channels), dtype=numpy.uint8)
    return drawn


def test_minus_one_is_black_and_one_is_white_and_whatever_lies_beyond() -> None:
    values = numpy.array([-1.0, 0.0, 1.0, -7.0, numpy.nan, numpy.inf], dtype=numpy.float32).reshape(1, 1, 2, 3)
    assert pixels_from(values).ravel().tolist() == [0, 128, 255, 0, 128, 255]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_stages_stand_side_by_side(tmp_path: Path, channels: int) -> None:
    stages = [Stage(title="before", images=images(channels, level=40)), Stage(title="after", images=images(channels))]
    save_samples_through_time(stages, tmp_path / "samples.png")
    with Image.open(tmp_path / "samples.png") as sheet:
        pixels = numpy.asarray(sheet.convert("L")).astype(float)
    left, right = pixels[60:, : sheet.width // 2 - 20], pixels[60:, sheet.width // 2 + 20 :]
    assert left.std() < 15 < right.std()


def test_a_colour_survives(tmp_path: Path) -> None:
    red = numpy.zeros((4, 8, 8, 3), dtype=numpy.uint8)
    red[..., 0] = 200
    save_samples_through_time([Stage(title="", images=red)], tmp_path / "samples.png")
    with Image.open(tmp_path / "samples.png") as sheet:
        assert sheet.convert("RGB").getpixel((40, 70)) == (200, 0, 0)


def test_the_animation_has_a_frame_for_each_stage_and_rests_on_the_last(tmp_path: Path) -> None:
    stages = [Stage(title=f"version {n}", images=images(level=60 * n)) for n in range(4)]
    save_growth(stages, tmp_path / "growth.gif", milliseconds=100)
    with Image.open(tmp_path / "growth.gif") as animation:
        assert animation.n_frames == 4
        durations = []
        for frame in range(4):
            animation.seek(frame)
            durations.append(animation.info["duration"])
    assert durations == [100, 100, 100, 800]


def test_curves_are_drawn(tmp_path: Path) -> None:
    falling = [1 / (n + 1) for n in range(50)]
    panels = [
        Panel(title="losses", lines=[Line(name="loss", xs=range(50), ys=falling, smoothed=True)]),
        Panel(title="held out", lines=[Line(name="distance", xs=range(50), ys=falling)], is_logarithmic=True),
    ]
    save_curves(panels, tmp_path / "losses.png", title="a run")
    with Image.open(tmp_path / "losses.png") as picture:
        assert picture.width > 1000
        assert numpy.asarray(picture.convert("L")).std() > 5


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match=r'pip install "barnraise\[plots\]"'):
        save_curves([], tmp_path / "losses.png", title="")


def test_smoothing_keeps_the_length_and_a_constant() -> None:
    assert smooth([3.0] * 7) == [3.0] * 7
    assert smooth([0.0, 3.0, 0.0]) == [1.5, 1.0, 1.5]


@pytest.mark.parametrize("size", [16, 28, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_images_come_out_of_a_kept_picture_as_they_went_in(size: int, channels: int) -> None:
    levels = numpy.arange(NUM_IMAGES, dtype=numpy.uint8) * 7
    images = numpy.broadcast_to(levels[:, None, None, None], (NUM_IMAGES, size, size, channels))
    file = io.BytesIO()
    grid_of(numpy.ascontiguousarray(images)).save(file, "PNG")
    found = images_in(file.getvalue())
    assert found.shape[0] == NUM_IMAGES
    assert found.shape[1] == found.shape[2] >= size
    assert [set(image.ravel().tolist()) for image in found] == [{int(level)} for level in levels]
