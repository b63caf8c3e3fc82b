from __future__ import annotations

from worker.foresight import Foresight


def foresight_of(*, units: list[float], claims: list[float]) -> Foresight:
    foresight = Foresight()
    for seconds in units:
        foresight.computed(seconds)
    for seconds in claims:
        foresight.claimed(seconds)
    return foresight


def test_whoever_knows_nothing_claims_at_once() -> None:
    assert Foresight().pause() == 0.0
    assert foresight_of(units=[3.0], claims=[]).pause() == 0.0


def test_a_unit_is_claimed_shortly_before_it_is_needed() -> None:
    assert foresight_of(units=[2.0, 2.0], claims=[0.2, 0.2]).pause() == 1.7


def test_the_shortest_unit_and_the_slowest_claim_count() -> None:
    assert foresight_of(units=[5.0, 2.0, 9.0], claims=[0.01, 0.4, 0.02]).pause() == 1.4


def test_a_line_slower_than_the_device_is_always_busy() -> None:
    assert foresight_of(units=[1.0], claims=[2.0]).pause() == 0.0


def test_one_bad_minute_is_forgotten() -> None:
    assert foresight_of(units=[2.0] * 9, claims=[60.0, *[0.2] * 8]).pause() == 1.7
