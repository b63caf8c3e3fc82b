"""What every staleness decay promises. A new one is picked up by its line in the registry, and needs no test."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

import coordinator.decays
from coordinator.decays import DECAYS

EVERY = pytest.mark.parametrize("name", DECAYS.names)
STALENESS_AND_BOUND = st.integers(0, 5000).flatmap(lambda bound: st.tuples(st.integers(0, bound), st.just(bound)))


def test_every_decay_of_the_folder_has_its_line() -> None:
    found = set()
    for module in pkgutil.iter_modules(coordinator.decays.__path__, "coordinator.decays."):
        for _, member in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if dataclasses.is_dataclass(member) and hasattr(member, "share"):
                found.add(member)
    assert found == set(DECAYS)


@EVERY
@given(bound=st.integers(0, 5000))
def test_a_fresh_gradient_is_whole(name: str, bound: int) -> None:
    assert DECAYS.build(name).share(0, bound) == 1.0


@EVERY
@given(numbers=STALENESS_AND_BOUND)
def test_a_share_is_a_share(name: str, numbers: tuple[int, int]) -> None:
    assert 0.0 <= DECAYS.build(name).share(*numbers) <= 1.0


@EVERY
@given(numbers=STALENESS_AND_BOUND)
def test_a_later_gradient_never_weighs_more(name: str, numbers: tuple[int, int]) -> None:
    decay, (staleness, bound) = DECAYS.build(name), numbers
    assert decay.share(max(0, staleness - 1), bound) >= decay.share(staleness, bound)


@EVERY
@given(numbers=STALENESS_AND_BOUND)
def test_the_same_numbers_give_the_same_share(name: str, numbers: tuple[int, int]) -> None:
    assert DECAYS.build(name).share(*numbers) == DECAYS.build(name).share(*numbers)
