"""What a throw of the dice promises, which no definition without the dice can be compared with."""

from __future__ import annotations

import torch

from coordinator.aggregators import AGGREGATORS, Stack
from coordinator.preaggregators import PREAGGREGATORS
from coordinator.recipe import Recipe
from tests.unit.gradients import combined, contributions, random_vectors


def groups(num_vectors: int, *, size: int, seed: int, weights: list[float] | None = None) -> Stack:
    sizes = {"x": 4}
    stack = Stack.of(contributions(random_vectors(num_vectors, 4), sizes, weights=weights), sizes)
    return PREAGGREGATORS.build("bucketing", {"size": size}).apply(stack, seed=seed)


def members(stack: Stack) -> list[list[int]]:
    assert stack.mixing is not None
    return [row.nonzero().flatten().tolist() for row in stack.mixing]


def test_everybody_is_in_one_group_and_the_last_may_be_smaller() -> None:
    found = members(groups(11, size=3, seed=1))
    assert [len(group) for group in found] == [3, 3, 3, 2]
    assert sorted(place for group in found for place in group) == list(range(11))


def test_another_seed_throws_together_others() -> None:
    thrown = {str(members(groups(12, size=2, seed=seed))) for seed in range(20)}
    assert len(thrown) == 20


def test_each_update_throws_anew() -> None:
    recipe = Recipe(rule=AGGREGATORS.build("median"), before=(PREAGGREGATORS.build("bucketing", {"size": 3}),), seed=5)
    vectors = random_vectors(9, 50)
    first, again, next_one = (combined(recipe, vectors, step=step)[0] for step in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, next_one)


def test_a_group_speaks_for_all_its_members() -> None:
    """So the mean of the groups is the mean of all."""
    weights = [float(place) for place in range(1, 8)]
    vectors = random_vectors(7, 30)
    before = (PREAGGREGATORS.build("bucketing", {"size": 2}),)
    grouped, shares = combined(Recipe(rule=AGGREGATORS.build("mean"), before=before), vectors, weights=weights)
    plain, plain_shares = combined(Recipe(rule=AGGREGATORS.build("mean")), vectors, weights=weights)
    torch.testing.assert_close(grouped, plain)
    torch.testing.assert_close(torch.tensor(shares), torch.tensor(plain_shares))
