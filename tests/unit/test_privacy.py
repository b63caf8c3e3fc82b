"""What a private run gives away, in figures, and the noise that keeps it to that."""

from __future__ import annotations

import dataclasses
import math
import sys

import dp_accounting
import numpy as np
import pytest
import torch

from contract.compressors import CODECS
from contract.errors import BudgetSpent, MissingExtra
from contract.workloads.units import Unit
from coordinator.account import Account
from coordinator.privacy import Privacy, require_accounting
from coordinator.training_local import LocalRun, Schooling
from tests.unit.trained import dataset_for, small

PRIVACY = Privacy(clip_norm=0.5, noise_multiplier=3.0, delta=1e-5, epsilon_budget=8.0)


def account(privacy: Privacy = PRIVACY) -> Account:
    return Account(privacy, run_seed=7, num_samples=100)


def in_epoch(epoch: int, first: int = 0, count: int = 100) -> Unit:
    return Unit(epoch=epoch, first_sample=first, num_samples=count, seed=0)


def composed(num_updates: int, noise_multiplier: float) -> float:
    """By another way: a loss distribution, convolved with itself."""
    accountant = dp_accounting.pld.PLDAccountant()
    accountant.compose(dp_accounting.GaussianDpEvent(noise_multiplier), num_updates)
    return float(accountant.get_epsilon(PRIVACY.delta))


@pytest.mark.parametrize("num_epochs", [1, 2, 5])
def test_an_epoch_costs_what_one_update_of_half_the_noise_multiplier_does(num_epochs: int) -> None:
    found = account()
    for epoch in range(num_epochs):
        for first in (0, 30, 60, 90):
            found.spend([in_epoch(epoch, first, min(30, 100 - first))])
    assert found.epsilon == pytest.approx(composed(num_epochs, 1.5), rel=1e-3)


def test_nothing_is_given_away_before_the_first_update() -> None:
    assert account().epsilon == 0.0


def test_units_of_one_update_are_not_added_up() -> None:
    together, apart = account(), account()
    together.spend([in_epoch(0, 0, 50), in_epoch(0, 50, 50)])
    apart.spend([in_epoch(0, 0, 50)])
    apart.spend([in_epoch(0, 50, 50)])
    assert together.epsilon == apart.epsilon


def test_a_sample_twice_in_one_update_costs_more_than_once_in_two() -> None:
    at_once, one_by_one = account(), account()
    at_once.spend([in_epoch(0), in_epoch(1)])
    one_by_one.spend([in_epoch(0)])
    one_by_one.spend([in_epoch(1)])
    assert at_once.epsilon == pytest.approx(composed(1, 0.75), rel=1e-3)
    assert one_by_one.epsilon < at_once.epsilon


def test_an_epoch_that_is_not_over_costs_as_much_as_a_whole_one() -> None:
    found = account()
    found.spend([in_epoch(0)])
    before = found.epsilon
    found.spend([in_epoch(1, 0, 10)])
    assert found.epsilon > before
    between = found.epsilon
    found.spend([in_epoch(1, 10, 90)])
    assert found.epsilon == between


def test_the_update_that_would_pass_the_budget_is_refused() -> None:
    found = account(dataclasses.replace(PRIVACY, epsilon_budget=composed(2, 1.5) + 0.01))
    for epoch in range(2):
        assert found.refusal([in_epoch(epoch)]) is None
        found.spend([in_epoch(epoch)])
    refusal = found.refusal([in_epoch(2, 0, 10)])
    assert refusal is not None
    assert f"epsilon is {found.epsilon:.3f}" in refusal
    assert found.epsilon == pytest.approx(composed(2, 1.5), rel=1e-3)


def test_the_needed_multiplier_is_just_enough_for_one_epoch() -> None:
    needed = PRIVACY.needed_multiplier()
    assert dataclasses.replace(PRIVACY, noise_multiplier=needed * 1.001).epsilon(1) <= PRIVACY.epsilon_budget
    assert dataclasses.replace(PRIVACY, noise_multiplier=needed * 0.999).epsilon(1) > PRIVACY.epsilon_budget


def noise(num_values: int, *, num_gradients: int) -> torch.Tensor:
    total = torch.zeros(num_values)
    PRIVACY.blur({"a": total}, num_gradients=num_gradients)
    return total


@pytest.mark.parametrize("num_gradients", [1, 4])
def test_the_noise_is_normal_and_as_large_as_promised(num_gradients: int) -> None:
    drawn = noise(400_001, num_gradients=num_gradients) / (3.0 * 0.5 / num_gradients)
    # Seven standard errors: once in 10^11 runs by chance.
    assert abs(float(drawn.mean())) < 7 / math.sqrt(400_000)
    assert abs(float(drawn.square().mean()) - 1.0) < 7 * math.sqrt(2 / 400_000)
    assert abs(float((drawn**4).mean()) - 3.0) < 7 * math.sqrt(96 / 400_000)
    assert abs(float((drawn[:-1] * drawn[1:]).mean())) < 7 / math.sqrt(400_000)


def test_the_noise_is_added_to_every_value_and_never_the_same() -> None:
    values = torch.arange(5.0)
    totals = {"a": values.clone(), "b": values.clone()}
    PRIVACY.blur(totals, num_gradients=2)
    assert bool((totals["a"] != values).all())
    assert bool((totals["a"] != totals["b"]).all())


def test_equal_bytes_give_equal_noise() -> None:
    def draw(num_bytes: int) -> bytes:
        return np.arange(1, num_bytes + 1, dtype=np.uint8).tobytes()

    totals = [{"a": torch.zeros(7)} for _ in range(2)]
    for total in totals:
        PRIVACY.blur(total, num_gradients=1, draw=draw)
    assert torch.equal(totals[0]["a"], totals[1]["a"])
    assert bool(totals[0]["a"].isfinite().all())


def test_without_the_extra_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    with pytest.raises(MissingExtra, match=r'pip install "barnraise\[privacy\]"'):
        require_accounting()


def test_train_local_ends_before_the_budget_is_passed() -> None:
    workload = small("mlp")
    # Four units an epoch: an update never takes samples from two.
    dataset = dataset_for(workload, num_samples=128)
    tight = dataclasses.replace(PRIVACY, epsilon_budget=composed(2, 1.5) + 0.01)
    schooling = Schooling(
        batch_size=32,
        batches_per_unit=1,
        units_per_update=2,
        hyperparameters=workload.hyperparameters,
        privacy=tight,
        codec=CODECS.build("none"),
    )
    run = LocalRun(workload, dataset, schooling)
    with pytest.raises(BudgetSpent, match="the next update would make it"):
        list(run.updates(10))
    assert run.state.step == 4
    assert run.account is not None
    assert run.account.epsilon == pytest.approx(composed(2, 1.5), rel=1e-3)
