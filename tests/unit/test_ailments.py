from __future__ import annotations

import dataclasses
import datetime

import pytest

from contract.ids import UnitId, Version, WorkerId
from coordinator.ailments import Signs, ailments
from coordinator.ledger.views import HealthItem, Leading, Progress, SeenPush, StalledUnit, Suspect, Timing

NOON = datetime.datetime(2026, 11, 28, 12, 0, tzinfo=datetime.UTC)
PROGRESS = Progress(
    run="class", state="running", state_reason=None, mode="sync", workload="mlp", head_version=Version(40),
    optimizer_step=40, head_since=NOON - datetime.timedelta(seconds=5), num_open=1, num_leased=2, num_submitted=0,
    num_merged=80, num_failed=0, num_cancelled=0, num_begun=90, num_computed=85, share_used=0.9,
    num_gradients_per_update=2, num_workers=2, created_at=NOON, started_at=NOON - datetime.timedelta(hours=1),
    finished_at=None, num_samples_merged=800, samples_per_epoch=1000, num_epochs=2, share_done=0.4,
    samples_per_second=10.0, eta_seconds=120.0,
)  # fmt: skip
SIGNS = Signs(
    at=NOON,
    progress=PROGRESS,
    leading=Leading(run="class", host="tower", elected_at=NOON - datetime.timedelta(hours=1), is_leading=True),
)
PUSH = SeenPush(
    version=Version(36),
    repository="ada/model",
    commit="c0ffee",
    url="https://hub/ada",
    at=NOON - datetime.timedelta(hours=1),
)
FINE = HealthItem(item="dead rows of events", value=10.0, unit="rows", is_fine=True, note="autovacuum keeps up")


def stalled(unit: int, why: str) -> StalledUnit:
    return StalledUnit(
        unit=UnitId(unit), attempt=1, volunteer="ada", worker=WorkerId(1), worker_name="laptop", leased_at=NOON,
        lease_expires_at=NOON, seconds_leased=60.0, last_seen_at=None, seconds_silent=None, why=why,
    )  # fmt: skip


def suspect(name: str) -> Suspect:
    return Suspect(
        volunteer=name, worker=WorkerId(1), worker_name="laptop", num_submitted=9, num_refused=5,
        num_failures_in_a_row=0, share_accepted=0.4, mean_weight=None,
        why="5 of 9 gradients were refused for what was in them", )  # fmt: skip


def found(signs: Signs = SIGNS, **changes: object) -> list[str]:
    """`changes` are of the progress."""
    progress = dataclasses.replace(signs.progress, **changes)  # type: ignore[arg-type]
    return [ailment.what for ailment in ailments(dataclasses.replace(signs, progress=progress))]


def changed(**changes: object) -> Signs:
    return dataclasses.replace(SIGNS, **changes)  # type: ignore[arg-type]


def test_a_run_that_goes_well_has_none() -> None:
    assert found(changed(health=[FINE])) == []


def test_every_ailment_says_what_to_do() -> None:
    signs = changed(
        leading=None, stalled=[stalled(1, "its worker has left")], suspects=[suspect("ada")], push_interval=1,
        health=[dataclasses.replace(FINE, is_fine=False)],
        progress=dataclasses.replace(PROGRESS, num_workers=0, num_failed=1),
    )  # fmt: skip
    all_of_them = ailments(signs)
    assert len(all_of_them) == 7
    assert all(ailment.do for ailment in all_of_them)


def test_without_a_leader_it_says_where_the_last_one_was() -> None:
    leading = Leading(run="class", host="tower", elected_at=NOON, is_leading=False)
    (said,) = found(changed(leading=leading))
    assert "no coordinator leads the run (the last one was on tower)" in said


@pytest.mark.parametrize("state", ["finished", "failed", "created"])
def test_a_run_that_rests_needs_neither_leader_nor_workers(state: str) -> None:
    said = found(changed(leading=None), state=state, num_workers=0)
    assert not any("leads" in line or "worker" in line for line in said)


def test_a_pause_and_a_failure_tell_their_reason() -> None:
    assert found(state="paused", state_reason="lunch") == ["the run rests, nothing is handed out or merged: lunch"]
    assert found(state="failed", state_reason="no space") == ["the run has failed: no space"]


def test_nobody_here_is_one_ailment_and_not_two() -> None:
    assert found(num_workers=0, head_since=NOON - datetime.timedelta(days=1)) == ["no worker is here"]


def test_a_long_time_without_a_merge_is_told_unless_units_take_that_long() -> None:
    long_ago = NOON - datetime.timedelta(minutes=20)
    assert found(head_since=long_ago) == ["workers are here, and nothing was merged for 20 min"]
    usual = Timing(step="compute", num_measured=10, p50_seconds=200.0, p95_seconds=300.0)
    assert found(changed(timings=[usual]), head_since=long_ago) == []


def test_units_at_a_standstill_are_told_together_by_their_reason() -> None:
    signs = changed(
        stalled=[*(stalled(unit, "its worker has left") for unit in range(5)), stalled(9, "its lease is over")]
    )
    left, over = ailments(signs)
    assert (
        left.what == "5 units at a standstill, each because its worker has left: 0 (ada), 1 (ada), 2 (ada) and 2 more"
    )
    assert left.do == "nothing: when their leases end other workers compute them"
    assert over.what == "1 unit at a standstill, because its lease is over: 9 (ada)"
    assert over.do == "nothing: when its lease ends another worker computes it"


def test_of_many_suspects_some_are_named() -> None:
    said = found(changed(suspects=[suspect(f"person{number}") for number in range(7)]))
    assert said[0] == "person0 (laptop): 5 of 9 gradients were refused for what was in them"
    assert said[-1] == "4 more workers are to be looked at"
    assert found(changed(suspects=[suspect(f"person{number}") for number in range(4)]))[-1] == (
        "1 more worker is to be looked at"
    )


def test_what_the_database_suffers_from_is_told_with_its_note() -> None:
    item = dataclasses.replace(FINE, is_fine=False, value=1_234_567.0, note="it does not keep up")
    (ailment,) = ailments(changed(health=[FINE, item]))
    assert (ailment.what, ailment.do) == (
        "the database: dead rows of events is at 1,234,567 rows",
        "it does not keep up",
    )


def test_a_push_is_missed_when_it_was_due_for_minutes() -> None:
    assert found(changed(push_interval=5, last_push=PUSH)) == []
    assert found(changed(push_interval=4, last_push=PUSH)) == [
        "the Hub has version 36, for 60 min; the run is at version 40"
    ]
    assert found(changed(push_interval=4)) == ["the Hub has nothing of this run; the run is at version 40"]
    assert found(changed(push_interval=None)) == []
    recent = dataclasses.replace(PUSH, at=NOON - datetime.timedelta(minutes=1))
    assert found(changed(push_interval=1, last_push=recent)) == []
