"""What every aggregation rule promises. A new one is picked up by its line in the registry, and needs no test of its
own; one whose definition stands in `rule_references` is compared with it too."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import coordinator.aggregators
from coordinator.aggregators import AGGREGATORS, Aggregator
from coordinator.aggregators.chunks import BLOCK_VALUES
from coordinator.recipe import Recipe
from tests.unit.gradients import combined, contributions, filled, random_vectors
from tests.unit.rule_references import REFERENCES

EVERY = pytest.mark.parametrize("name", AGGREGATORS.names)
# Whatever takes f promises to withstand f.
ROBUST = [name for name in AGGREGATORS.names if "num_byzantine" in AGGREGATORS.options(name)]
# A bias, a matrix of more than a block, nothing at all, and a size that no vector unit divides.
SIZES = {"weight": 2 * BLOCK_VALUES + 3, "bias": 7, "empty": 0, "odd": 1021}
WHOLE = sum(SIZES.values())
HONEST, F = 8, 2


def recipe(name: str, *, num_byzantine: int = F, values_at_a_time: int = 1 << 20) -> Recipe:
    takes_f = "num_byzantine" in AGGREGATORS.options(name)
    rule = AGGREGATORS.build(name, {"num_byzantine": num_byzantine} if takes_f else {})
    return Recipe(rule=rule, values_at_a_time=values_at_a_time)


def enough(name: str, *, num_byzantine: int = F) -> int:
    found = recipe(name, num_byzantine=num_byzantine).enough_from(1)
    assert found is not None
    return found


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def duplicates() -> Tensor:
    return random_vectors(3, 50).repeat(4, 1)


def hostile(far: float = 1e30) -> Tensor:
    vectors = random_vectors(12, 50, seed=4) + 1.0
    vectors[3] = far
    vectors[7] = -far
    return vectors


TRIALS = {
    "normal": random_vectors(12, 50, seed=1),
    # Whole numbers: their distances are equal to the last bit where they are equal.
    "ties": torch.randint(-1, 2, (12, 5), generator=torch.Generator().manual_seed(3)).float(),
    "duplicates": duplicates(),
    "zeros": torch.zeros(12, 50),
    "zeros_of_both_signs": torch.zeros(12, 50).copysign(random_vectors(12, 50)),
    "one_value": random_vectors(12, 1),
    "odd": random_vectors(11, 50, seed=2),
    "just_enough": random_vectors(11, 3, seed=5),
    "tiny": random_vectors(12, 50, scale=1e-30),
    "huge": random_vectors(12, 50, scale=1e30),
    "hostile": hostile(),
    "off_centre": random_vectors(12, 50, scale=0.01) + 100.0,
}


def test_every_rule_of_the_folder_has_its_line() -> None:
    found = set()
    for module in pkgutil.iter_modules(coordinator.aggregators.__path__, "coordinator.aggregators."):
        for _, member in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if dataclasses.is_dataclass(member) and hasattr(member, "combine"):
                found.add(member)
    assert found == set(AGGREGATORS)


@pytest.mark.parametrize("trial", TRIALS)
@pytest.mark.parametrize("name", REFERENCES)
def test_it_is_what_its_definition_says(name: str, trial: str) -> None:
    vectors = TRIALS[trial]
    weights = [1.0 + place % 3 for place in range(len(vectors))]
    centre = vectors[:3].mean(0)
    found, _ = combined(recipe(name), vectors, weights=weights, centre=centre)
    expected = REFERENCES[name](vectors.double().numpy(), np.array(weights), F, centre.double().numpy())
    scale = float(np.abs(expected).max()) or 1.0
    torch.testing.assert_close(found.double(), torch.from_numpy(expected), rtol=1e-5, atol=1e-6 * scale)


@EVERY
@given(num_gradients=st.integers(0, 40), num_byzantine=st.integers(0, 6))
def test_what_it_does_not_refuse_it_can_do(name: str, num_gradients: int, num_byzantine: int) -> None:
    how = recipe(name, num_byzantine=num_byzantine)
    if how.problem(num_gradients) is None:
        found, shares = combined(how, random_vectors(num_gradients, 10))
        assert bool(found.isfinite().all())
        assert len(shares) == num_gradients


@EVERY
def test_a_refusal_names_the_inequality_and_a_number_that_would_do(name: str) -> None:
    problem = recipe(name).problem(0)
    assert problem is not None
    assert problem.startswith(f"{name} needs n ")
    assert f" {enough(name)}" in problem


@EVERY
def test_of_no_gradients_nothing_is_made(name: str) -> None:
    assert recipe(name, num_byzantine=0).problem(0) is not None


@EVERY
def test_any_number_of_threads_gives_the_same_bits(name: str, threads: None) -> None:
    vectors = random_vectors(13, 150_001)
    vectors[::2, ::3] = 0.0
    vectors[1::2, ::3] = -0.0
    found = []
    for number in (1, 2, 3, 5):
        torch.set_num_threads(number)
        aggregate, shares = combined(recipe(name), vectors, centre=vectors[0])
        found.append((aggregate.numpy().tobytes(), shares))
    assert all(one == found[0] for one in found)


@EVERY
def test_how_a_vector_is_cut_into_tensors_does_not_matter(name: str) -> None:
    vectors = random_vectors(12, WHOLE)
    whole, _ = combined(recipe(name), vectors, centre=vectors[0])
    cut, _ = combined(recipe(name), vectors, sizes=SIZES, centre=vectors[0])
    torch.testing.assert_close(cut, whole, rtol=1e-5, atol=1e-6)


@EVERY
def test_stretches_of_another_length_change_no_more_than_the_last_bits(name: str) -> None:
    vectors = random_vectors(12, WHOLE)
    whole, _ = combined(recipe(name), vectors, sizes=SIZES, centre=vectors[0])
    small, _ = combined(recipe(name, values_at_a_time=1), vectors, sizes=SIZES, centre=vectors[0])
    torch.testing.assert_close(small, whole, rtol=1e-5, atol=1e-6)


@EVERY
def test_tensors_may_be_filled_a_few_at_a_time_in_any_order(name: str) -> None:
    vectors = random_vectors(12, WHOLE)
    given_ = contributions(vectors, SIZES)
    whole = filled(recipe(name).combine(given_, SIZES), SIZES)
    combination = recipe(name).combine(given_, SIZES)
    parts = {tensor: filled(combination, {tensor: size}) for tensor, size in reversed(SIZES.items())}
    assert torch.equal(torch.cat([parts[tensor] for tensor in SIZES]), whole)


@EVERY
def test_the_order_of_the_gradients_changes_no_more_than_the_last_bits(name: str) -> None:
    vectors = random_vectors(12, 300)
    aggregate, shares = combined(recipe(name), vectors, centre=vectors[0])
    turned, turned_shares = combined(recipe(name), vectors.flip(0), centre=vectors[0])
    torch.testing.assert_close(turned, aggregate, rtol=1e-5, atol=1e-6)
    assert turned_shares[::-1] == pytest.approx(shares, abs=1e-6)


@EVERY
def test_of_one_opinion_it_makes_that_opinion(name: str) -> None:
    vector = random_vectors(1, 40)
    aggregate, _ = combined(recipe(name), vector.repeat(12, 1))
    torch.testing.assert_close(aggregate, vector[0])


@EVERY
def test_no_value_is_beyond_all_that_were_given(name: str) -> None:
    vectors = random_vectors(12, 200)
    aggregate, _ = combined(recipe(name), vectors, centre=torch.zeros(200))
    reach = vectors.abs().amax(0) + 1e-6
    assert bool((aggregate.abs() <= reach).all())


@EVERY
def test_shares_are_shares(name: str) -> None:
    _, shares = combined(recipe(name), random_vectors(12, 500), centre=torch.zeros(500))
    assert all(-1e-9 <= share <= 1.0 + 1e-9 for share in shares)
    assert sum(shares) <= 1.0 + 1e-9


@EVERY
def test_gradients_that_are_worth_nothing_do_no_harm(name: str) -> None:
    aggregate, _ = combined(recipe(name), random_vectors(12, 20), weights=[0.0] * 12)
    assert bool(aggregate.isfinite().all())


@pytest.mark.parametrize("codec", ["none", "fp16"])
@EVERY
def test_gradients_are_used_as_they_decode(name: str, codec: str) -> None:
    vectors = random_vectors(12, WHOLE)
    direct, _ = combined(recipe(name), vectors.half().float(), sizes=SIZES)
    decoded, _ = combined(recipe(name), vectors.half().float(), sizes=SIZES, codec=codec)
    torch.testing.assert_close(decoded, direct)


def withstood(rule: Aggregator, attack: Tensor, *, num_honest: int) -> None:
    honest = random_vectors(num_honest, attack.shape[1], seed=9) + 1.0
    vectors = torch.cat([attack, honest])
    aggregate, _ = combined(Recipe(rule=rule), vectors, centre=honest.mean(0))
    farthest = float((honest - honest.mean(0)).norm(dim=1).max())
    assert float((aggregate - honest.mean(0)).norm()) <= 2.0 * farthest


@pytest.mark.parametrize("name", ROBUST)
@settings(max_examples=40)
@given(magnitudes=st.lists(st.sampled_from([0.0, 1.0, -10.0, 1e3, -1e6, 1e30, -3e38]), min_size=F, max_size=F))
def test_f_hostile_gradients_do_not_carry_it_away(name: str, magnitudes: list[float]) -> None:
    attack = torch.tensor(magnitudes)[:, None].expand(F, 30)
    withstood(recipe(name).rule, attack, num_honest=max(HONEST, enough(name) - F))


@pytest.mark.parametrize("name", ROBUST)
def test_f_colluders_who_agree_do_not_carry_it_away(name: str) -> None:
    attack = random_vectors(1, 30).mul(1e30).repeat(F, 1)
    withstood(recipe(name).rule, attack, num_honest=max(HONEST, enough(name) - F))
