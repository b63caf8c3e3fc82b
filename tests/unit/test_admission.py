from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from contract.ids import GradientId
from coordinator.admission import Admitted, Refused, admit, below_zero, norms
from tests.unit.test_step import PLAIN, decoder_of, random


def judged(
    tensors: dict[str, Tensor],
    *,
    num_samples: int = 10,
    decay: float = 1.0,
    clip_norm: float | None = None,
    private_norm: float | None = None,
) -> Admitted | Refused:
    return admit(
        gradient=GradientId(1),
        decoder=decoder_of(tensors),
        vectors=PLAIN,
        num_samples=num_samples,
        unit_samples=10,
        decay=decay,
        clip_norm=clip_norm,
        private_norm=private_norm,
    )


def verdict(result: Admitted | Refused) -> str:
    assert isinstance(result, Refused)
    return result.verdict


def test_norms_are_those_of_whole_groups() -> None:
    tensors = random(1)
    whole = torch.cat([tensors["a.weight"].flatten(), tensors["a.bias"].flatten()])
    assert norms(decoder_of(tensors), PLAIN)["a"] == pytest.approx(whole.double().norm().item())


def test_the_weight_is_samples_times_decay() -> None:
    result = judged(random(1), num_samples=8, decay=0.5)
    assert isinstance(result, Admitted)
    assert result.weight == 4.0


@pytest.mark.parametrize("wild", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused(wild: float) -> None:
    tensors = random(1)
    tensors["a.weight"][299, 199] = wild
    assert verdict(judged(tensors)) == "not finite: a"


def test_a_wild_buffer_is_refused_too() -> None:
    tensors = random(1)
    tensors["norm.running_mean"][0] = math.nan
    assert verdict(judged(tensors)) == "not finite: buffers"


def test_a_variance_below_zero_is_refused() -> None:
    tensors = random(1)
    tensors["norm.running_mean"].abs_()
    vectors = dataclasses.replace(PLAIN, variances=("norm.running_mean",))
    assert below_zero(decoder_of(tensors), vectors) == []
    tensors["norm.running_mean"][3] = -1e-30
    result = admit(
        gradient=GradientId(1), decoder=decoder_of(tensors), vectors=vectors, num_samples=10, unit_samples=10
    )
    assert verdict(result) == "a variance below zero: norm.running_mean"


def test_the_largest_numbers_are_finite_still() -> None:
    assert isinstance(judged(random(1, scale=1e37)), Admitted)


@pytest.mark.parametrize("num_samples", [0, 11, -3])
def test_more_samples_than_the_unit_holds_are_refused(num_samples: int) -> None:
    assert verdict(judged(random(1), num_samples=num_samples)) == f"claims {num_samples} samples, its unit holds 10"


def test_a_long_gradient_is_shortened_group_by_group() -> None:
    result = judged(random(1), clip_norm=10.0)
    assert isinstance(result, Admitted)
    lengths = norms(decoder_of(random(1)), PLAIN)
    assert result.factors == {"a": pytest.approx(10.0 / lengths["a"]), "b": 1.0}


def test_buffers_are_never_clipped() -> None:
    result = judged(random(1), clip_norm=1e-3)
    assert isinstance(result, Admitted)
    assert result.contribution("buffers").factor == 1.0


def test_a_gradient_of_zeros_is_not_divided_by_its_length() -> None:
    assert isinstance(judged(random(1, scale=0.0), clip_norm=1.0), Admitted)


def test_in_private_all_groups_together_are_shortened() -> None:
    result = judged(random(1), private_norm=10.0)
    assert isinstance(result, Admitted)
    lengths = norms(decoder_of(random(1)), PLAIN)
    assert result.factors["a"] == result.factors["b"] == pytest.approx(10.0 / math.hypot(lengths["a"], lengths["b"]))


def test_in_private_what_is_short_stays_as_it_is() -> None:
    result = judged(random(1), private_norm=1e6)
    assert isinstance(result, Admitted)
    assert set(result.factors.values()) == {1.0}
    assert isinstance(judged(random(1, scale=0.0), private_norm=1.0), Admitted)


def test_in_private_everybody_weighs_the_same() -> None:
    results = [judged(random(1), num_samples=count, decay=0.3, private_norm=1.0) for count in (1, 10)]
    assert [result.weight for result in results if isinstance(result, Admitted)] == [1.0, 1.0]
