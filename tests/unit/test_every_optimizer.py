"""What every optimizer promises. A new one is picked up by its line in the registry, and needs no test of its own."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil

import pytest
import torch
from torch import Tensor

import coordinator.optimizers
from contract.workloads.base import Group, Hyperparameters
from coordinator.optimizers import OPTIMIZERS, Optimizer, Parameter
from coordinator.optimizers.base import STEP_VALUES

# More than a stretch, and not a whole number of them.
NUM_VALUES = 2 * STEP_VALUES + 100
GROUP = Group(name="model", parameters=("a",))
HYPERPARAMETERS = Hyperparameters(learning_rate_g=0.01)


@pytest.fixture(params=OPTIMIZERS.names)
def optimizer(request: pytest.FixtureRequest) -> Optimizer:
    return OPTIMIZERS.build(request.param)


def random(seed: int) -> Tensor:
    return torch.randn(NUM_VALUES, generator=torch.Generator().manual_seed(seed))


def parameter(optimizer: Optimizer, weights: Tensor, num_rows: int = 1) -> Parameter:
    moments = {moment: torch.zeros_like(weights) for moment in optimizer.moments}
    return Parameter(name="a", group=GROUP, weights=weights, moments=moments, num_rows=num_rows)


def stepped(optimizer: Optimizer, gradients: list[Tensor], num_rows: int = 1) -> Parameter:
    moved = parameter(optimizer, random(0), num_rows)
    for num_steps, gradient in enumerate(gradients):
        optimizer.step(moved, gradient.clone(), num_steps=num_steps, hyperparameters=HYPERPARAMETERS)
    return moved


def test_every_optimizer_of_the_folder_has_its_line() -> None:
    found = set()
    for module in pkgutil.iter_modules(coordinator.optimizers.__path__, "coordinator.optimizers."):
        for _, member in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if dataclasses.is_dataclass(member) and hasattr(member, "step"):
                found.add(member)
    assert found == set(OPTIMIZERS)


def test_twenty_steps_go_downhill(optimizer: Optimizer) -> None:
    moved = parameter(optimizer, random(0))
    before = float(moved.weights.norm())
    for num_steps in range(20):
        # The gradient of half the squared norm.
        optimizer.step(moved, moved.weights.clone() / 10, num_steps=num_steps, hyperparameters=HYPERPARAMETERS)
    assert float(moved.weights.norm()) < 0.95 * before


# A vector; rows longer than a stretch; rows of which a stretch has many.
@pytest.mark.parametrize("num_rows", [1, 2, 269])
def test_the_number_of_threads_changes_no_bit(optimizer: Optimizer, num_rows: int) -> None:
    gradients = [random(seed) for seed in (1, 2, 3)]
    before = torch.get_num_threads()
    results = []
    for num_threads in (1, 4):
        torch.set_num_threads(num_threads)
        results.append(stepped(optimizer, gradients, num_rows))
    torch.set_num_threads(before)
    one, four = results
    assert torch.equal(one.weights, four.weights)
    assert all(torch.equal(one.moments[name], four.moments[name]) for name in optimizer.moments)


def test_where_a_value_stands_in_its_tensor_changes_no_bit(optimizer: Optimizer) -> None:
    whole = stepped(optimizer, [random(seed) for seed in (1, 2, 3)])
    few = parameter(optimizer, random(0)[-50:].clone())
    for num_steps, seed in enumerate((1, 2, 3)):
        optimizer.step(few, random(seed)[-50:].clone(), num_steps=num_steps, hyperparameters=HYPERPARAMETERS)
    assert torch.equal(whole.weights[-50:], few.weights)


def test_the_moments_are_all_that_is_remembered(optimizer: Optimizer) -> None:
    whole = stepped(optimizer, [random(1), random(2)])
    first = stepped(optimizer, [random(1)])
    resumed = dataclasses.replace(
        first, weights=first.weights.clone(), moments={name: value.clone() for name, value in first.moments.items()}
    )
    # As after a restart: another object of the same name and options.
    OPTIMIZERS.build(optimizer.name).step(resumed, random(2), num_steps=1, hyperparameters=HYPERPARAMETERS)
    assert torch.equal(resumed.weights, whole.weights)


def test_every_moment_takes_part(optimizer: Optimizer) -> None:
    moved = stepped(optimizer, [random(1)])
    assert all(bool(moment.any()) for moment in moved.moments.values())


@pytest.mark.parametrize("num_steps", [1, 2, 7])
def test_of_equal_aggregates_it_recollects_that_aggregate(optimizer: Optimizer, num_steps: int) -> None:
    moved = stepped(optimizer, [random(1)] * num_steps)
    found = optimizer.recollection(num_steps=num_steps, hyperparameters=HYPERPARAMETERS)
    torch.testing.assert_close(moved.moments[found.moment] * found.factor, random(1), rtol=1e-4, atol=1e-5)


def test_before_the_first_step_it_recollects_nothing(optimizer: Optimizer) -> None:
    new = parameter(optimizer, random(0))
    found = optimizer.recollection(num_steps=0, hyperparameters=HYPERPARAMETERS)
    assert not bool((new.moments[found.moment] * found.factor).any())
