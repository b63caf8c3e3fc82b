"""What every pre-aggregator promises. A new one is picked up by its line in the registry, and needs no test of its own;
one whose definition stands in `rule_references` is compared with it too."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import coordinator.preaggregators
from contract.workloads.order import mixed
from coordinator.aggregators import AGGREGATORS, Stack
from coordinator.preaggregators import PREAGGREGATORS, PreAggregator
from coordinator.recipe import Recipe
from tests.unit.gradients import combined, contributions, filled, random_vectors
from tests.unit.rule_references import BEFORE, REFERENCES
from tests.unit.test_every_rule import TRIALS

EVERY = pytest.mark.parametrize("name", PREAGGREGATORS.names)
F = 2


def preaggregator(name: str, *, num_byzantine: int = F) -> PreAggregator:
    takes_f = "num_byzantine" in PREAGGREGATORS.options(name)
    return PREAGGREGATORS.build(name, {"num_byzantine": num_byzantine} if takes_f else {})


def recipe(name: str, rule: str = "mean") -> Recipe:
    options = {"num_byzantine": 1} if rule != "mean" else {}
    return Recipe(rule=AGGREGATORS.build(rule, options), before=(preaggregator(name),), seed=7)


def vectors_after(name: str, vectors: Tensor, *, seed: int = 0) -> Tensor:
    """One after another: what each of the new vectors is."""
    sizes = {"x": vectors.shape[1]}
    stack = preaggregator(name).apply(Stack.of(contributions(vectors, sizes), sizes), seed=seed)
    shares = torch.eye(len(stack)).tolist()
    return torch.stack([filled(stack.weighted(one), sizes) for one in shares])


def test_every_preaggregator_of_the_folder_has_its_line() -> None:
    found = set()
    for module in pkgutil.iter_modules(coordinator.preaggregators.__path__, "coordinator.preaggregators."):
        for _, member in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if dataclasses.is_dataclass(member) and hasattr(member, "num_left"):
                found.add(member)
    assert found == set(PREAGGREGATORS)


@pytest.mark.parametrize("trial", TRIALS)
@pytest.mark.parametrize("name", BEFORE)
def test_it_is_what_its_definition_says(name: str, trial: str) -> None:
    vectors = TRIALS[trial]
    expected = BEFORE[name](vectors.double().numpy(), F)
    found = vectors_after(name, vectors)
    scale = float(np.abs(expected).max()) or 1.0
    torch.testing.assert_close(found.double(), torch.from_numpy(expected), rtol=1e-5, atol=1e-6 * scale)


@EVERY
@given(num_vectors=st.integers(1, 30), num_byzantine=st.integers(0, 6))
def test_as_many_are_left_as_it_says(name: str, num_vectors: int, num_byzantine: int) -> None:
    how = preaggregator(name, num_byzantine=num_byzantine)
    if how.problem(num_vectors) is None:
        sizes = {"x": 3}
        stack = how.apply(Stack.of(contributions(random_vectors(num_vectors, 3), sizes), sizes), seed=1)
        assert len(stack) == how.num_left(num_vectors) == len(stack.gram())


@EVERY
def test_of_no_gradients_nothing_is_made(name: str) -> None:
    assert preaggregator(name, num_byzantine=0).problem(0) is not None


@EVERY
def test_the_gram_matrix_is_that_of_the_new_vectors(name: str) -> None:
    vectors = random_vectors(11, 40)
    sizes = {"x": 40}
    stack = preaggregator(name).apply(Stack.of(contributions(vectors, sizes), sizes), seed=3)
    new = vectors_after(name, vectors, seed=3).double()
    torch.testing.assert_close(stack.gram(), new @ new.T, rtol=1e-5, atol=1e-5)


@EVERY
@pytest.mark.parametrize("rule", REFERENCES)
def test_a_rule_sees_the_new_vectors_and_no_others(name: str, rule: str) -> None:
    """With room for any rule, and gradients of equal weight."""
    vectors = random_vectors(24, 50, seed=8)
    centre = vectors[:3].mean(0)
    found, _ = combined(recipe(name, rule), vectors, centre=centre, step=3)
    rows = vectors_after(name, vectors, seed=mixed(7, 3, 0)).double().numpy()
    expected = REFERENCES[rule](rows, np.ones(len(rows)), 1, centre.double().numpy())
    torch.testing.assert_close(found.double(), torch.from_numpy(expected), rtol=1e-4, atol=1e-5)


@EVERY
def test_the_same_seed_gives_the_same_bits_and_threads_change_nothing(name: str) -> None:
    before = torch.get_num_threads()
    vectors = random_vectors(11, 70_001)
    found = []
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        found.append(combined(recipe(name, "median"), vectors)[0].numpy().tobytes())
    torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]


@EVERY
def test_of_one_opinion_it_makes_that_opinion(name: str) -> None:
    vector = random_vectors(1, 40)
    torch.testing.assert_close(
        vectors_after(name, vector.repeat(9, 1)), vector.repeat(preaggregator(name).num_left(9), 1)
    )


@EVERY
def test_no_vector_becomes_longer_than_the_longest(name: str) -> None:
    vectors = random_vectors(11, 40)
    assert float(vectors_after(name, vectors).norm(dim=1).max()) <= float(vectors.norm(dim=1).max()) * (1 + 1e-6)


@EVERY
def test_shares_are_those_of_the_gradients(name: str) -> None:
    vectors = random_vectors(12, 500)
    aggregate, shares = combined(recipe(name), vectors)
    torch.testing.assert_close(aggregate, torch.tensor(shares) @ vectors, rtol=1e-4, atol=1e-5)
    assert sum(shares) <= 1.0 + 1e-9


@pytest.mark.parametrize("first", PREAGGREGATORS.names)
@EVERY
def test_two_after_one_another_are_the_second_of_the_first(name: str, first: str) -> None:
    vectors = random_vectors(16, 30)
    sizes = {"x": 30}
    stack = preaggregator(first).apply(Stack.of(contributions(vectors, sizes), sizes), seed=4)
    stack = preaggregator(name).apply(stack, seed=5)
    found = torch.stack([filled(stack.weighted(one), sizes) for one in torch.eye(len(stack)).tolist()])
    torch.testing.assert_close(found, vectors_after(name, vectors_after(first, vectors, seed=4), seed=5))
