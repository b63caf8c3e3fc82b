from __future__ import annotations

import datetime
import json

from coordinator.dashboard.channels import encoded
from coordinator.dashboard.sections import speed
from coordinator.ledger.showing import WholeMinute

NOON = datetime.datetime(2026, 11, 28, 12, tzinfo=datetime.UTC)


def minute(place: int, num_samples: int = 60) -> WholeMinute:
    return WholeMinute(minute=NOON + datetime.timedelta(minutes=place), num_units=1, num_samples=num_samples)


def told(*minutes: WholeMinute) -> tuple[int, list[tuple[str, float]]]:
    section = json.loads(encoded(speed(minutes)))
    return section["seconds_each"], [(step["at"][11:16], step["samples_per_second"]) for step in section["steps"]]


def test_without_a_merge_there_is_no_speed() -> None:
    assert told() == (60, [])


def test_a_minute_without_a_merge_is_one_of_no_speed() -> None:
    assert told(minute(0), minute(2, 120)) == (60, [("12:00", 1.0), ("12:01", 0.0), ("12:02", 2.0)])


def test_a_long_time_is_told_in_longer_steps_and_the_last_may_be_short() -> None:
    seconds_each, steps = told(*(minute(place) for place in range(24 * 60)))
    assert (seconds_each, len(steps)) == (360, 240)
    assert {speed for _, speed in steps} == {1.0}
    _, odd = told(*(minute(place) for place in range(24 * 60 - 5)))
    assert odd[-1] == ("11:54", 1.0)


def test_what_no_browser_reads_becomes_nothing() -> None:
    values = {"nan": float("nan"), "inf": float("inf"), "loss": 1.23456789, "at": NOON, "sha": b"\x01"}
    assert json.loads(encoded(values)) == {
        "nan": None, "inf": None, "loss": 1.2346, "at": "2026-11-28T12:00:00.000+00:00", "sha": "01",
    }  # fmt: skip
