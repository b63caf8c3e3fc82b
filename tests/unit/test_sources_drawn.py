from __future__ import annotations

import hashlib

import PIL
import pytest
import torch

from contract.errors import ConfigError
from contract.sources import SOURCES, Dataset, Split


def opened(name: str, split: Split = "train", seed: int = 0, size: int = 28, **options: object) -> Dataset:
    return SOURCES.build(name, options).open(path=None, split=split, num_samples=None, seed=seed, image_size=size)


def images_of(dataset: Dataset, count: int = 200) -> torch.Tensor:
    images = dataset.batch(range(count)).images
    assert images is not None
    return images


def digest(dataset: Dataset) -> str:
    batch = dataset.batch(range(50))
    assert batch.images is not None
    assert batch.labels is not None
    return hashlib.sha256(batch.images.numpy().tobytes() + batch.labels.numpy().tobytes()).hexdigest()[:16]


@pytest.mark.skipif(not PIL.__version__.startswith("13.0."), reason="the masks are drawn by Pillow 13.0")
@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("glyphs", {}, "ac0d268c67f378c4"),
        ("glyphs", {"num_classes": 36, "noise": 0}, "cc3b498c9a8f5ec0"),
        ("shapes", {}, "e034856e3eeaf0de"),
    ],
)
def test_the_pictures_are_the_same_on_every_machine(name: str, options: dict[str, object], expected: str) -> None:
    assert digest(opened(name, **options)) == expected


@pytest.mark.parametrize("name", ["glyphs", "shapes"])
def test_there_is_no_end(name: str) -> None:
    source = SOURCES.build(name)
    dataset = source.open(path=None, split="train", num_samples=10**12, image_size=8)
    assert dataset.num_samples == 10**12
    assert dataset.batch([0, 10**12 - 1]).images is not None


def test_by_default_there_are_sixty_thousand() -> None:
    assert opened("glyphs").num_samples == 60_000


@pytest.mark.parametrize("seed", [-1, 2**80])
def test_any_number_is_a_seed(seed: int) -> None:
    assert digest(opened("glyphs", seed=seed)) != digest(opened("glyphs"))


@pytest.mark.parametrize("split", ["train", "held_out"])
@pytest.mark.parametrize(
    ("name", "options", "num_classes"),
    [
        ("glyphs", {}, 10),
        ("glyphs", {"num_classes": 36}, 36),
        ("shapes", {}, 7),
    ],
)
def test_classes_are_even(name: str, options: dict[str, object], num_classes: int, split: Split) -> None:
    dataset = opened(name, split, size=8, **options)
    labels = dataset.batch(range(10_000)).labels
    assert labels is not None
    counts = torch.bincount(labels, minlength=num_classes)
    assert dataset.num_classes == len(counts) == num_classes
    assert counts.min() > 0.75 * 10_000 / num_classes


@pytest.mark.parametrize("name", ["glyphs", "shapes"])
@pytest.mark.parametrize("size", [4, 8, 28, 64, 300])
def test_something_bright_stands_in_the_middle(name: str, size: int) -> None:
    images = images_of(opened(name, size=size), 40)
    middle = images[:, :, size // 4 : -(size // 4), size // 4 : -(size // 4)]
    corner = images[:, :, : max(1, size // 12), : max(1, size // 12)]
    assert (middle.flatten(1).amax(1) > corner.flatten(1).mean(1) + 0.2).all()


def test_without_any_chance_a_class_differs_by_its_ink_only() -> None:
    still = {"rotation_degrees": 0, "shift_percent": 0, "noise": 0}
    dataset = opened("glyphs", size=32, **still)
    batch = dataset.batch(range(300))
    assert batch.images is not None
    assert batch.labels is not None
    ones = batch.images[batch.labels == 1]
    # Corners show paper alone, and it is one colour all over.
    assert torch.equal(ones[:, :, 0, 0], ones[:, :, -1, -1])


@pytest.mark.parametrize("option", ["rotation_degrees", "shift_percent", "noise"])
def test_every_option_changes_the_pictures(option: str) -> None:
    for name in ("glyphs", "shapes"):
        changed = opened(name, **{option: 25})
        assert digest(changed) != digest(opened(name))
        assert changed.fingerprint != opened(name).fingerprint


@pytest.mark.parametrize(
    "options", [{"num_classes": 26}, {"rotation_degrees": 181}, {"shift_percent": -1}, {"noise": 101}]
)
def test_an_impossible_option_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        SOURCES.build("glyphs", options)


def test_noise_has_the_deviation_it_says() -> None:
    noisy, clean = images_of(opened("glyphs", size=64)), images_of(opened("glyphs", size=64, noise=0))
    grey_levels = (noisy - clean)[:, :, :4] * 127.5
    # Black paper cuts a half of the noise off: only bright enough places count.
    unclipped = grey_levels[clean[:, :, :4] > -0.7]
    assert 7 < float(unclipped.std()) < 9


def test_glyphs_are_learnt_by_a_straight_line() -> None:
    """Far below what an MLP reaches; it would not learn at all from labels that belong to other pictures."""
    torch.manual_seed(0)
    model = torch.nn.Linear(28 * 28, 10)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    dataset, held_out = opened("glyphs"), opened("glyphs", "held_out").batch(range(2000))
    for start in range(0, 20_000, 100):
        batch = dataset.batch(range(start, start + 100))
        assert batch.images is not None
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(batch.images.flatten(1)), batch.labels).backward()
        optimizer.step()
    assert held_out.images is not None
    right = model(held_out.images.flatten(1)).argmax(1) == held_out.labels
    assert right.float().mean() > 0.85
