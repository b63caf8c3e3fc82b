from __future__ import annotations

import pytest
import torch
from torch import Tensor

from contract.workloads.metrics import RandomFeatures, frechet_distance


def normal(count: int, width: int, *, seed: int = 0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_set_is_no_distance_from_itself() -> None:
    features = normal(500, 20)
    assert frechet_distance(features, features) == pytest.approx(0.0, abs=1e-9)


def test_a_shift_is_its_square() -> None:
    features = normal(500, 20)
    assert frechet_distance(features, features + 2.0) == pytest.approx(20 * 4.0)


def test_a_stretch_is_the_square_of_what_the_spreads_differ() -> None:
    features = normal(500, 1)
    spread = features.std().item()
    mean = features.mean().item()
    expected = (3 * spread - spread) ** 2 + (2 * mean) ** 2
    assert frechet_distance(features, 3 * features) == pytest.approx(expected)


def test_it_is_symmetric() -> None:
    first, second = normal(300, 5), normal(300, 5, seed=1) @ normal(5, 5, seed=2)
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first))


def test_fewer_samples_than_features_make_no_nonsense() -> None:
    assert 0.0 < frechet_distance(normal(10, 50), normal(10, 50, seed=1)) < 1000.0


@pytest.mark.parametrize("channels", [1, 3])
def test_the_features_are_fixed(channels: int) -> None:
    before = torch.get_rng_state()
    images = torch.linspace(-1, 1, 2 * channels * 32 * 32).reshape(2, channels, 32, 32)
    first, second = RandomFeatures(channels)(images), RandomFeatures(channels)(images)
    assert first.shape == (2, 128)
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)
