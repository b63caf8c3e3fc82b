"""Machine code does what torch does, to the last bit wherever a definition leaves no choice."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from coordinator.aggregators import AGGREGATORS
from coordinator.aggregators.compiled import WORTH_VALUES, folds, is_available, sorts
from coordinator.aggregators.folding import Middle
from coordinator.preaggregators import PREAGGREGATORS
from coordinator.recipe import Recipe
from tests.unit.gradients import combined, contributions, filled, random_vectors
from tests.unit.rule_references import REFERENCES
from tests.unit.test_every_rule import EVERY, SIZES, TRIALS, WHOLE, F, recipe

pytestmark = pytest.mark.skipif(not is_available(), reason="numba is not installed (extra `fast`)")
# What they compute is fixed value by value; elsewhere the order of a sum over a whole vector is each one's own.
TO_THE_BIT = ["mean", "median", "trimmed_mean", "meamed"]


def in_machine_code(how: Recipe) -> Recipe:
    return dataclasses.replace(how, compiled_from=0)


def in_torch(how: Recipe) -> Recipe:
    return dataclasses.replace(how, compiled_from=None)


def both(
    how: Recipe, vectors: Tensor, **options: object
) -> tuple[tuple[Tensor, list[float]], tuple[Tensor, list[float]]]:
    expected = combined(in_torch(how), vectors, **options)  # type: ignore[arg-type]
    combined(in_machine_code(how), vectors, **options)  # type: ignore[arg-type]
    folds.finish()
    return combined(in_machine_code(how), vectors, **options), expected  # type: ignore[arg-type]


@pytest.mark.parametrize("trial", TRIALS)
@pytest.mark.parametrize("name", REFERENCES)
def test_it_is_what_the_definition_says(name: str, trial: str) -> None:
    vectors = TRIALS[trial]
    weights = [1.0 + place % 3 for place in range(len(vectors))]
    centre = vectors[:3].mean(0)
    (found, _), _ = both(recipe(name), vectors, weights=weights, centre=centre)
    expected = REFERENCES[name](vectors.double().numpy(), np.array(weights), F, centre.double().numpy())
    scale = float(np.abs(expected).max()) or 1.0
    torch.testing.assert_close(found.double(), torch.from_numpy(expected), rtol=1e-5, atol=1e-6 * scale)


@EVERY
def test_it_comes_to_what_torch_comes_to(name: str) -> None:
    vectors = random_vectors(12, WHOLE)
    (found, shares), (expected, expected_shares) = both(recipe(name), vectors, sizes=SIZES, centre=vectors[0] / 2)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    assert shares == pytest.approx(expected_shares, abs=1e-9)


@pytest.mark.parametrize("trial", ["normal", "ties", "duplicates", "zeros_of_both_signs", "hostile", "odd", "huge"])
@pytest.mark.parametrize("name", TO_THE_BIT)
def test_folds_and_sums_have_the_same_bits(name: str, trial: str) -> None:
    (found, _), (expected, _) = both(
        recipe(name), TRIALS[trial], weights=[1.0 + i % 3 for i in range(len(TRIALS[trial]))]
    )
    assert found.numpy().tobytes() == expected.numpy().tobytes()


@pytest.mark.parametrize("name", TO_THE_BIT)
def test_more_vectors_than_registers_hold_have_the_same_bits(name: str) -> None:
    (found, shares), (expected, expected_shares) = both(recipe(name), random_vectors(23, WHOLE), sizes=SIZES)
    assert torch.equal(found, expected)
    assert shares == pytest.approx(expected_shares, abs=1e-9)


@pytest.mark.parametrize("num_vectors", [7, 20, 23])
def test_nobody_sees_when_a_fold_of_mixed_vectors_is_ready(num_vectors: int) -> None:
    nearest = PREAGGREGATORS.build("nnm", {"num_byzantine": 1})
    how = in_machine_code(dataclasses.replace(recipe("trimmed_mean", num_byzantine=1), before=(nearest,)))
    vectors = random_vectors(num_vectors, WHOLE)
    while_it_is_compiled, _ = combined(how, vectors, sizes=SIZES)
    folds.finish()
    afterwards, _ = combined(how, vectors, sizes=SIZES)
    assert torch.equal(afterwards, while_it_is_compiled)
    torch.testing.assert_close(afterwards, combined(in_torch(how), vectors, sizes=SIZES)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("num_rows", [1, 2, 5, 64, 101])
@pytest.mark.parametrize("length", [1, 63, 64, 200])
def test_wanted_rows_are_sorted(num_rows: int, length: int) -> None:
    rows = random_vectors(num_rows, length)
    expected = rows.sort(dim=0).values
    wanted = range(num_rows // 3, num_rows - num_rows // 3)
    sorts.sort_rows(rows, wanted)
    for row in wanted:
        assert torch.equal(rows[row], expected[row])


@pytest.mark.parametrize("name", ["median", "krum", "nnm"])
def test_a_blob_that_begins_anywhere_is_read(name: str) -> None:
    vectors = random_vectors(12, WHOLE)
    how = in_machine_code(recipe("trimmed_mean" if name == "nnm" else name, num_byzantine=1))
    if name == "nnm":
        how = dataclasses.replace(how, before=(PREAGGREGATORS.build("nnm", {"num_byzantine": 1}),))
    expected, _ = combined(how, vectors, sizes=SIZES)
    folds.finish()
    found = filled(how.combine(contributions(vectors, SIZES, at=3), SIZES), SIZES)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("name", TO_THE_BIT)
def test_nobody_sees_when_a_fold_is_ready(name: str) -> None:
    how, vectors = in_machine_code(recipe(name)), random_vectors(7, WHOLE)
    while_it_is_compiled, _ = combined(how, vectors, sizes=SIZES)
    folds.finish()
    afterwards, _ = combined(how, vectors, sizes=SIZES)
    assert torch.equal(afterwards, while_it_is_compiled)


@pytest.mark.parametrize("codec", ["fp16", "int8", "topk", "sparse"])
@EVERY
def test_gradients_are_used_as_they_decode(name: str, codec: str) -> None:
    (found, _), (expected, _) = both(recipe(name), random_vectors(12, WHOLE), sizes=SIZES, codec=codec)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("before", PREAGGREGATORS.names)
@pytest.mark.parametrize("name", ["mean", "trimmed_mean", "geometric_median", "centered_clip"])
def test_what_comes_before_it_is_the_same(name: str, before: str) -> None:
    takes_f = "num_byzantine" in PREAGGREGATORS.options(before)
    step = PREAGGREGATORS.build(before, {"num_byzantine": 1} if takes_f else {})
    how = dataclasses.replace(recipe(name, num_byzantine=1), before=(step,))
    vectors = random_vectors(12, WHOLE)
    (found, _), (expected, _) = both(how, vectors, sizes=SIZES, centre=vectors[0] / 2)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@EVERY
def test_a_shortened_gradient_counts_as_short_as_it_is(name: str) -> None:
    vectors = random_vectors(12, WHOLE)
    long = vectors.clone()
    long[3] *= 8.0
    given = contributions(long, SIZES)
    given[3] = dataclasses.replace(given[3], factor=1 / 8)
    results = []
    for contribution in (given, contributions(vectors, SIZES)):
        for _ in range(2):
            combination = in_machine_code(recipe(name)).combine(contribution, SIZES)
            totals = {tensor: torch.empty(size) for tensor, size in SIZES.items()}
            combination.fill(totals)
            folds.finish()
        results.append(torch.cat(list(totals.values())))
    torch.testing.assert_close(results[0], results[1], rtol=1e-6, atol=1e-6)


def test_little_is_left_to_torch_and_what_was_decided_is_recorded() -> None:
    how = Recipe(rule=AGGREGATORS.build("median", {}))
    assert how.compiled_from == WORTH_VALUES
    small = how.combine(contributions(random_vectors(3, 10), {"x": 10}), {"x": 10})
    assert not small.is_compiled  # type: ignore[attr-defined]
    assert Recipe.recorded("median", how.record(), seed=0) == how
    assert Recipe.recorded("median", {**how.record(), "compiled_from": None}, seed=0).compiled_from is None


def test_a_fold_is_compiled_once_for_each_number_of_vectors() -> None:
    folds.kernel(Middle(dropped=1), 3)
    folds.finish()
    assert folds.kernel(Middle(dropped=1), 3) is not None
