from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.config import Config
from contract.errors import ConfigError
from contract.ids import GradientId, Version, WorkerId
from coordinator.decays import DECAYS
from coordinator.staleness import Paces, Policy, Submission


def policy(**changes: object) -> Policy:
    return Policy.of({**Config().staleness.model_dump(), **changes})


def judged(staleness: int, speed: float = 1.0, **changes: object) -> tuple[int, float]:
    found = policy(**changes).judge(base=Version(100), head=Version(100 + staleness), speed=speed)
    return found.bound, found.share


def submitted(worker: int, times: list[float], first_gradient: int = 0) -> list[Submission]:
    return [
        Submission(gradient=GradientId(first_gradient + n), worker=WorkerId(worker), at=at)
        for n, at in enumerate(times)
    ]


@pytest.mark.parametrize(
    ("name", "rate", "expected"),
    [
        ("constant", 0.1, 1.0),
        ("inverse_sqrt", 0.1, 0.5),
        ("exponential", 0.1, math.exp(-0.3)),
        ("exponential", 0.0, 1.0),
        ("cosine", 0.1, 0.5 * math.exp(-0.3)),
    ],
)
def test_decays_are_those_of_the_design(name: str, rate: float, expected: float) -> None:
    assert judged(3, decay=name, decay_rate=rate, max_staleness=6) == (6, pytest.approx(expected))


def test_a_cosine_leaves_nothing_at_the_bound_and_says_so() -> None:
    found = policy(decay="cosine", max_staleness=6).judge(base=Version(0), head=Version(6))
    assert found.verdict == "stale: 6 versions behind the head, where its weight has decayed to nothing"


def test_the_bound_itself_is_admitted_and_one_more_is_not() -> None:
    at = policy(max_staleness=5)
    assert at.judge(base=Version(0), head=Version(5)).verdict is None
    assert at.judge(base=Version(0), head=Version(6)).verdict == "stale: 6 versions behind the head, at most 5 may be"


@pytest.mark.parametrize("speed", [0.1, 1.0, 10.0])
def test_a_fixed_bound_is_everybodys(speed: float) -> None:
    assert policy(max_staleness=7).bound(speed) == 7


@pytest.mark.parametrize(("speed", "bound"), [(1.0, 50), (2.0, 25), (0.5, 100), (10.0, 5), (0.1, 500), (1.5, 33)])
def test_an_adaptive_bound_is_wide_for_the_slow(speed: float, bound: int) -> None:
    assert policy(policy="adaptive").bound(speed) == bound


def test_an_adaptive_bound_has_a_floor_and_a_ceiling() -> None:
    narrow = policy(policy="adaptive", max_staleness=20, min_staleness=5, max_staleness_multiplier=2)
    assert (narrow.bound(10.0), narrow.bound(0.1)) == (5, 40)


def test_an_unknown_decay_is_named() -> None:
    with pytest.raises(ConfigError, match="unknown staleness decay 'cosin'; did you mean cosine"):
        policy(decay="cosin")


def test_a_rate_below_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="rate is at least 0"):
        DECAYS.build("exponential", {"rate": -1.0})


def test_speed_is_the_median_interval_over_ones_own() -> None:
    paces = Paces([*submitted(1, [0, 10, 20]), *submitted(2, [0, 20, 40], 10), *submitted(3, [0, 40, 80], 20)])
    assert paces.speeds() == {1: 2.0, 2: 1.0, 3: 0.5}


def test_two_submissions_say_nothing() -> None:
    assert Paces([*submitted(1, [0, 10, 20]), *submitted(2, [0, 500], 10)]).speeds() == {1: 1.0}


def test_only_the_last_ten_count() -> None:
    slow_once = Paces([*submitted(1, [float(n) for n in range(10)]), *submitted(2, [-1e6, *range(10)], 20)])
    assert slow_once.speeds() == {1: 1.0, 2: 1.0}


def test_what_was_seen_before_changes_nothing() -> None:
    paces = Paces(submitted(1, [0, 10, 20]))
    before = paces.speeds()
    paces.see(submitted(1, [0, 10, 20]))
    assert paces.speeds() == before


@given(st.dictionaries(st.integers(1, 9), st.lists(st.floats(0, 1e9), max_size=30), max_size=9))
def test_speeds_lie_between_a_tenth_and_ten(times: dict[int, list[float]]) -> None:
    paces = Paces()
    for worker, found in times.items():
        paces.see(submitted(worker, found, 1000 * worker))
    assert all(0.1 <= speed <= 10 for speed in paces.speeds().values())


@given(speed=st.floats(0.1, 10), staleness=st.integers(0, 1000), decay=st.sampled_from(DECAYS.names))
def test_refused_exactly_beyond_the_bound_or_without_weight(speed: float, staleness: int, decay: str) -> None:
    bound, share = judged(staleness, speed, policy="adaptive", decay=decay)
    assert (share > 0.0) == (staleness < bound or (staleness == bound and decay != "cosine"))
