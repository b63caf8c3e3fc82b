"""Processes that sleep, as a laptop does whose lid is closed, and wake up in a world that has gone on."""

from __future__ import annotations

import sys

import pytest

from tests.acceptance.stage import Stage

LEADER = "SELECT holder::text FROM ledger.leaders WHERE expires_at > clock_timestamp()"

# Each starts four processes, and shares two cores with other tests.
pytestmark = [pytest.mark.timeout(600), pytest.mark.skipif(sys.platform == "win32", reason="needs SIGSTOP")]


def test_a_worker_that_slept_past_its_lease_is_refused_and_goes_on(stage: Stage) -> None:
    _, ada, bob = stage.assemble()
    with (
        stage.gate("model_versions", "INSERT", "NEW.number = 8") as merge,
        stage.gate("gradients", "INSERT", "NEW.base_version = 2") as submit,
    ):
        submit.wait_for()
        person = submit.person()
        sleeper, other = (ada, bob) if person == "ada" else (bob, ada)
        unit = stage.unit_of(person)
        sleeper.freeze()
        # What had reached the server of its submit is lost, as the connection of a sleeping laptop is.
        stage.end_sessions(person)
        submit.open()
        merge.wait_for()
        assert stage.holder_of(unit) != person
        sleeper.thaw()
        stage.wait_for(lambda: f"unit {unit} was not needed any more" in sleeper.said(), "its word about the unit")
        # What is left of the run is the sleeper's alone.
        other.kill()
    stage.finish()
    assert stage.value("SELECT attempt FROM ledger.work_units WHERE id = :unit", unit=unit) == 2


def test_a_second_coordinator_takes_over_within_seconds(stage: Stage) -> None:
    first, *_ = stage.assemble()
    # Workers halt, not the merge: the standby would wait for the leader's row before it could say anything.
    with stage.gate("gradients", "UPDATE", "NEW.state = 'submitted' AND NEW.base_version = 2") as gate:
        gate.wait_for()
        second = stage.coordinator()
        stage.wait_for(lambda: "stands by" in second.said(), "a standby")
        first.kill()
    stage.wait_for_version(4, within_seconds=15)
    stage.finish()


def test_a_coordinator_that_slept_in_a_merge_publishes_nothing(stage: Stage) -> None:
    sleeper, *_ = stage.assemble()
    leader = stage.value(LEADER)
    stage.coordinator()
    with stage.gate("model_versions", "INSERT", "NEW.number = 5") as later:
        with stage.gate("work_units", "UPDATE", "NEW.state = 'submitted' AND NEW.position = 5") as gate:
            gate.wait_for()
            other = "SELECT true FROM ledger.gradients WHERE state = 'submitted'"
            stage.wait_for(lambda: stage.value(other), "the round's other gradient")
            # The last submit of the round goes through, and the merge halts where it reads the first gradient.
            with stage.locked("gradient_blobs", behind=gate) as lock:
                lock.wait_for()
                # Once in a hundred times it was about to free space, and its waking up is less interesting.
                is_merging = "octet_length(content)" in lock.statement()
                sleeper.freeze()
        stage.wait_for(lambda: stage.value(LEADER) not in (None, leader), "another leader")
        later.wait_for()
        sleeper.thaw()
        if is_merging:
            stage.wait_for(lambda: "this one stands by" in sleeper.said(), "its word that it leads no more")
    stage.finish()


def test_a_coordinator_that_slept_in_a_turn_does_nothing_any_more(stage: Stage) -> None:
    sleeper, *_ = stage.assemble()
    leader = stage.value(LEADER)
    stage.coordinator()
    with stage.gate("model_versions", "INSERT", "NEW.number = 6") as later:
        with stage.gate("work_units", "UPDATE", "NEW.state = 'submitted' AND NEW.position = 5") as gate:
            gate.wait_for()
            # It wakes up at its look at what has landed, with most of its turn to come, and knows of version 2.
            with stage.locked("gradients", behind=gate) as lock:
                lock.wait_for()
                sleeper.freeze()
        stage.wait_for(lambda: stage.value(LEADER) not in (None, leader), "another leader")
        later.wait_for()
        turn = "SELECT max(state_change) FROM pg_stat_activity WHERE application_name = 'barnraise coordinator'"
        before = stage.value(turn)
        sleeper.thaw()
        stage.wait_for(lambda: stage.value(turn) > before, "its next look at who leads")
        twice = """
            SELECT count(*)
              FROM (SELECT FROM ledger.work_units GROUP BY epoch, first_sample HAVING count(*) > 1) AS ranges"""
        assert stage.value(twice) == 0
    stage.finish()
