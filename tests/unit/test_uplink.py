"""`compression.codec: auto` on lines and computers of every speed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.uplink import Uplink

# Of a model of a million values, the least lossy first.
SIZES = (4_000_000, 2_000_000, 1_000_000, 200_000, 27_000)
MIDDLE = 2


def send(
    uplink: Uplink, times: int, *, bytes_per_second: float, unit_seconds: float = 1.0, latency: float = 0.0
) -> list[int]:
    """The rungs that were chosen."""
    chosen = []
    for _ in range(times):
        uplink.computed(unit_seconds)
        rung = uplink.choose()
        uplink.uploaded(SIZES[rung], latency + SIZES[rung] / bytes_per_second)
        chosen.append(rung)
    return chosen


def test_it_begins_in_the_middle() -> None:
    assert send(Uplink(SIZES), 1, bytes_per_second=1e9) == [MIDDLE]


@pytest.mark.parametrize(
    ("bytes_per_second", "rung"), [(1e9, 0), (8e6, 0), (5e6, 1), (2e6, 2), (5e5, 3), (1e5, 4), (1e3, 4)]
)
def test_it_comes_to_the_least_lossy_that_hides(bytes_per_second: float, rung: int) -> None:
    uplink = Uplink(SIZES)
    send(uplink, 20, bytes_per_second=bytes_per_second)
    assert send(uplink, 5, bytes_per_second=bytes_per_second) == [rung] * 5


def test_a_slow_computer_may_send_more() -> None:
    uplink = Uplink(SIZES)
    assert send(uplink, 20, bytes_per_second=5e5, unit_seconds=60.0)[-1] == 0


def test_waiting_for_an_answer_is_not_taken_for_a_narrow_line() -> None:
    """Where a small message takes as long as a large one, sending less would save nothing."""
    line = {"bytes_per_second": 1e8, "latency": 0.1, "unit_seconds": 0.25}
    uplink = Uplink(SIZES)
    uplink.round_trip = 0.1
    assert send(uplink, 20, **line)[-1] == 0


def test_a_line_that_becomes_slow_is_noticed_at_once_and_one_that_becomes_fast_soon() -> None:
    uplink = Uplink(SIZES)
    send(uplink, 20, bytes_per_second=1e8)
    slow = send(uplink, 10, bytes_per_second=3e5)
    assert slow[2] > 0
    assert slow[-1] == 3
    assert send(uplink, 30, bytes_per_second=1e8)[-1] == 0


def changes(rungs: list[int]) -> int:
    return sum(before != after for before, after in itertools.pairwise(rungs))


@given(
    bytes_per_second=st.floats(1e3, 1e9),
    noise=st.lists(st.floats(0.8, 1.25), min_size=7, max_size=7),
    latency=st.floats(0.0, 0.2),
)
def test_it_does_not_flap_on_a_line_that_is_steady_but_for_a_quarter(
    bytes_per_second: float, noise: list[float], latency: float
) -> None:
    uplink = Uplink(SIZES)
    chosen = []
    for number in range(300):
        rate = bytes_per_second * noise[number % len(noise)]
        chosen += send(uplink, 1, bytes_per_second=rate, latency=latency)
    assert changes(chosen[20:]) == 0


def test_what_failed_again_and_again_is_tried_ever_more_rarely() -> None:
    """A line that is fast for a moment and then throttled promises more than it keeps."""
    uplink = Uplink(SIZES)
    chosen = []
    for _ in range(2000):
        uplink.computed(1.0)
        rung = uplink.choose()
        uplink.uploaded(SIZES[rung], 0.01 if SIZES[rung] < 500_000 else 2.0)
        chosen.append(rung)
    assert set(chosen[20:]) == {2, 3}
    assert changes(chosen[:500]) > changes(chosen[1500:])
    assert changes(chosen[1500:]) <= 4


def test_a_ladder_of_one_is_never_left() -> None:
    uplink = Uplink([1000])
    for seconds in (0.001, 100.0, 0.001):
        uplink.computed(1.0)
        uplink.uploaded(1000, seconds)
        assert uplink.choose() == 0
