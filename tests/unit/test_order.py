from __future__ import annotations

import itertools

import pytest

from contract.workloads.order import mixed, sample_indices, unit_seed


def order(num_samples: int, *, seed: int = 0, epoch: int = 0) -> list[int]:
    return sample_indices(run_seed=seed, epoch=epoch, first=0, count=num_samples, num_samples=num_samples).tolist()


@pytest.mark.parametrize("num_samples", [1, 2, 3, 4, 5, 16, 17, 255, 1000, 4097])
def test_an_epoch_sees_every_sample_once(num_samples: int) -> None:
    assert sorted(order(num_samples)) == list(range(num_samples))


def test_a_range_is_part_of_the_whole() -> None:
    part = sample_indices(run_seed=0, epoch=0, first=300, count=50, num_samples=1000)
    assert part.tolist() == order(1000)[300:350]


def test_seed_and_epoch_change_the_order() -> None:
    orders = {tuple(order(100)), tuple(order(100, seed=1)), tuple(order(100, epoch=1)), tuple(order(100, seed=2**63))}
    assert len(orders) == 4


def test_the_order_never_changes_between_releases() -> None:
    assert order(10) == [6, 4, 1, 9, 5, 7, 0, 2, 8, 3]
    assert unit_seed(run_seed=0, epoch=0, first_sample=0) == 7557061629226788251


def test_the_order_is_well_shuffled() -> None:
    places = order(10_000)
    # Neighbours of a shuffled order are a third of the range apart on average; a shift or a stride would not be.
    gaps = [abs(a - b) for a, b in itertools.pairwise(places)]
    assert sum(gaps) / len(gaps) == pytest.approx(10_000 / 3, rel=0.05)
    stays = sum(place == index for index, place in enumerate(places))
    assert stays < 10


def test_a_range_costs_what_it_holds() -> None:
    assert sample_indices(run_seed=0, epoch=0, first=10**15, count=4, num_samples=10**16).max() < 10**16


def test_an_empty_range_is_empty() -> None:
    assert sample_indices(run_seed=0, epoch=0, first=3, count=0, num_samples=10).tolist() == []


@pytest.mark.parametrize(("first", "count"), [(-1, 2), (9, 2), (0, 11), (3, -1)])
def test_a_range_outside_the_epoch_is_refused(first: int, count: int) -> None:
    with pytest.raises(ValueError, match="outside an epoch of 10"):
        sample_indices(run_seed=0, epoch=0, first=first, count=count, num_samples=10)


def test_seeds_fit_the_ledger() -> None:
    seeds = {unit_seed(run_seed=-5, epoch=epoch, first_sample=first) for epoch in range(10) for first in range(100)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_mixing_heeds_the_order_of_its_numbers() -> None:
    assert mixed(1, 2) != mixed(2, 1)
