from __future__ import annotations

import pytest
import torch

from contract.workloads.noise import Noise, SampleDropout


def test_a_samples_noise_does_not_depend_on_its_batch() -> None:
    whole = Noise(seed=1, first=0, count=10)
    part = Noise(seed=1, first=4, count=3)
    for num_values in (1, 5, 33):
        assert torch.equal(whole.normal(0, num_values)[4:7], part.normal(0, num_values))
        assert torch.equal(whole.dropout(0, num_values, 0.5)[4:7], part.dropout(0, num_values, 0.5))


def test_seeds_streams_and_samples_differ() -> None:
    draws = [
        Noise(seed=1, first=0, count=2).normal(0, 8),
        Noise(seed=2, first=0, count=2).normal(0, 8),
        Noise(seed=1, first=0, count=2).normal(1, 8),
    ]
    rows = torch.cat(draws)
    assert len({tuple(row.tolist()) for row in rows}) == 6


def test_the_numbers_are_standard_normal() -> None:
    values = Noise(seed=3, first=0, count=100).normal(0, 1001).double()
    assert values.mean().item() == pytest.approx(0.0, abs=0.02)
    assert values.var().item() == pytest.approx(1.0, abs=0.02)
    assert values.pow(4).mean().item() == pytest.approx(3.0, abs=0.1)
    assert bool(values.isfinite().all())


def test_the_numbers_never_change_between_releases() -> None:
    assert Noise(seed=7, first=2, count=1).dropout(3, 8, 0.5).tolist() == [[0.0, 2.0, 2.0, 2.0, 0.0, 0.0, 2.0, 0.0]]


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(probability: float) -> None:
    mask = Noise(seed=3, first=0, count=100).dropout(0, 1000, probability)
    assert (mask == 0).float().mean().item() == pytest.approx(probability, abs=0.01)
    assert mask.mean().item() == pytest.approx(1.0, abs=0.03)


def test_dropout_is_off_outside_training() -> None:
    layer = SampleDropout(0.5, stream=0).eval()
    values = torch.ones(2, 3)
    assert layer(values) is values
