from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.class_size import next_num_gradients, num_gradients_for


@pytest.mark.parametrize(
    ("num_workers", "least", "most"),
    [(1, 1, 1), (2, 2, 3), (5, 2, 3), (10, 5, 8), (20, 5, 8), (30, 10, 20), (60, 10, 20), (10_000, 10, 20)],
)
def test_sizes_are_those_of_the_design(num_workers: int, least: int, most: int) -> None:
    assert least <= num_gradients_for(num_workers) <= most


@given(st.integers(1, 500))
def test_a_larger_class_never_has_smaller_updates(num_workers: int) -> None:
    assert num_gradients_for(num_workers) <= num_gradients_for(num_workers + 1)


@given(num_workers=st.integers(2, 500), before=st.integers(1, 30))
def test_one_who_comes_and_goes_changes_nothing(num_workers: int, before: int) -> None:
    settled = next_num_gradients(num_workers + 1, before=before)
    gone = next_num_gradients(num_workers, before=settled)
    assert next_num_gradients(num_workers + 1, before=gone) == gone or gone < settled == num_workers + 1


@given(num_workers=st.integers(1, 500), before=st.integers(1, 30))
def test_never_more_gradients_than_workers(num_workers: int, before: int) -> None:
    assert 1 <= next_num_gradients(num_workers, before=before) <= num_workers


@given(num_workers=st.integers(1, 500), before=st.integers(1, 30))
def test_a_class_that_has_grown_has_its_size_at_once(num_workers: int, before: int) -> None:
    assert next_num_gradients(num_workers, before=before) >= num_gradients_for(num_workers)


def test_an_empty_room_decides_nothing() -> None:
    assert next_num_gradients(0, before=7) == 7
