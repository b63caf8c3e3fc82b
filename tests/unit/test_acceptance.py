"""Slow workers are not refused for being slow: the functions that sift gradients before a merge, in simulated time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchmarks.acceptance import CLASSES, TARGET, measure, policy_of


@pytest.mark.parametrize("num_gradients", [1, 3])
@pytest.mark.parametrize("speeds", CLASSES)
def test_with_adaptive_bounds_nearly_all_are_accepted_of_every_worker(
    speeds: Sequence[float], num_gradients: int
) -> None:
    # Short, so that how a run begins counts: the slowest submits thirty times.
    tallies = measure(speeds, policy_of("adaptive", 50), num_gradients=num_gradients, until=300.0)
    assert min(tally.share_accepted for tally in tallies) >= TARGET
    assert min(tally.num_merged for tally in tallies) > 20


def test_with_a_fixed_bound_the_slow_compute_in_vain() -> None:
    fast, middle, slow = measure((10.0, 1.0, 0.1), policy_of("fixed", 50), num_gradients=1, until=300.0)
    assert min(fast.share_accepted, middle.share_accepted) == 1.0
    assert slow.share_accepted == 0.0


def test_workers_of_one_speed_are_as_stale_as_there_are_others() -> None:
    tallies = measure((1.0,) * 4, policy_of("adaptive", 50), num_gradients=1, until=300.0)
    assert [tally.staleness / tally.num_merged for tally in tallies] == pytest.approx([4.5] * 4, abs=0.5)
