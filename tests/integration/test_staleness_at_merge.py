"""The asynchronous pool: what is fresh enough, what it weighs, and that nobody waits for ever."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from coordinator.living_run import open_run
from tests.integration.workshop import Workshop, open_workshop
from tests.servers.databases import Database


def asynchronous(num: object = 1, **staleness: object) -> dict[str, dict[str, object]]:
    return {"training": {"mode": "async", "num_workunits_per_update": num}, "staleness": staleness}


@pytest.fixture
def strict(database: Database) -> Iterator[Workshop]:
    with open_workshop(database, asynchronous(min_staleness=0, max_staleness=0)) as made:
        yield made


def test_a_gradient_that_is_too_late_is_refused_with_its_numbers(strict: Workshop) -> None:
    ada, bob = strict.invite("ada"), strict.invite("bob")
    strict.turn()
    slow = bob.claim()
    ada.work()
    strict.turn()
    bob.submit(slow)
    verdict = "stale: 1 version behind the head, at most 0 may be"
    assert strict.turn().refused == (verdict,)
    assert strict.rows("SELECT state, verdict FROM watch.gradients ORDER BY gradient DESC LIMIT 1") == [
        ("rejected", verdict)
    ]


def test_its_samples_are_handed_out_first_and_it_counts_against_nobody(strict: Workshop) -> None:
    ada, bob = strict.invite("ada"), strict.invite("bob")
    strict.turn()
    slow = bob.claim()
    ada.work()
    strict.turn()
    bob.submit(slow)
    strict.turn()
    strict.reap.run_once()
    again = ada.claim()
    assert (again.unit, again.attempt, again.base_version) == (slow.unit, 2, 1)
    assert strict.rows(f"SELECT num_failures FROM ledger.work_units WHERE id = {slow.unit}") == [(0,)]


def test_a_late_gradient_weighs_less(database: Database) -> None:
    with open_workshop(database, asynchronous()) as shop:
        ada, bob = shop.invite("ada"), shop.invite("bob")
        shop.turn()
        slow = bob.claim()
        ada.work()
        shop.turn()
        shop.living.num_gradients = 2
        bob.submit(slow)
        ada.work()
        assert shop.turn().merged == 2
        fresh, late = 1.0, 2**-0.5
        assert shop.rows(
            "SELECT staleness, weight FROM watch.gradients WHERE merged_version = 2 ORDER BY staleness"
        ) == [
            (0, pytest.approx(fresh / (fresh + late))),
            (1, pytest.approx(late / (fresh + late))),
        ]


def test_an_adaptive_bound_waits_longer_for_a_slow_worker(database: Database) -> None:
    changes = asynchronous(policy="adaptive", min_staleness=0, max_staleness=1)
    with open_workshop(database, changes) as shop:
        ada, bob = shop.invite("ada"), shop.invite("bob")
        shop.turn()
        for _ in range(3):
            bob.work()
            shop.turn()
            shop.let_pass(100)
        # A fast one: three within the time of one of bob's.
        ada.work(3)
        with shop.owner.begin() as conn:
            speeds = open_run(conn, name="class").paces.speeds()
        assert speeds[bob.joined.worker] < 1 < speeds[ada.joined.worker]


def test_a_gradient_waits_for_others_until_the_deadline(database: Database) -> None:
    with open_workshop(database, asynchronous(3)) as shop:
        shop.turn()
        shop.invite("ada").work()
        assert shop.turn().version is None
        shop.let_pass(601)
        assert shop.turn().merged == 1


def test_the_pool_holds_an_update_and_two_units_for_each_worker(database: Database) -> None:
    with open_workshop(database, asynchronous(3)) as shop:
        for name in ("ada", "bob"):
            shop.invite(name)
        shop.turn()
        assert shop.rows("SELECT num_open FROM watch.progress") == [(7,)]


def test_all_that_is_computed_moves_the_model_to_the_end(database: Database) -> None:
    with open_workshop(database, asynchronous(3)) as shop:
        people = [shop.invite(name) for name in ("ada", "bob", "cleo")]
        shop.turn()
        for number in range(10):
            people[number % 3].work()
            shop.turn()
        report = shop.finish.run_once()
        assert report.finished
        assert report.outcome is not None
        assert (report.outcome.share_used, report.outcome.num_merged) == (1.0, 10)


def test_a_unit_that_fails_for_good_is_told_once_with_its_reason(database: Database) -> None:
    changes = {**asynchronous(), "worker": {"max_retries": 1}}
    with open_workshop(database, changes) as shop:
        shop.turn()
        shop.reap.run_once()
        ada = shop.invite("ada")
        for _ in range(2):
            ada.give_up(ada.claim(), "CUDA out of memory")
        (failure,) = shop.reap.run_once().failed
        assert (failure.reason, failure.volunteer, failure.num_samples) == ("CUDA out of memory", "ada", 4)
        assert shop.reap.run_once().failed == ()


def test_what_failed_for_good_is_left_out_of_its_epoch_and_the_run_ends(database: Database) -> None:
    changes = {**asynchronous(), "worker": {"max_retries": 0}}
    with open_workshop(database, changes) as shop:
        shop.turn()
        ada = shop.invite("ada")
        ada.give_up(ada.claim(), "a bad sector")
        for _ in range(9):
            shop.turn()
            ada.work()
        shop.turn()
        outcome = shop.finish.run_once().outcome
        assert outcome is not None
        assert (outcome.num_failed, outcome.skipped_samples, outcome.num_merged) == (1, 4, 9)


def test_what_waits_beyond_an_update_is_taken_along_instead_of_growing_stale(database: Database) -> None:
    with open_workshop(database, asynchronous(2)) as shop:
        ada = shop.invite("ada")
        shop.turn()
        ada.work(4)
        assert shop.turn().merged == 4
        assert shop.rows("SELECT DISTINCT staleness FROM watch.gradients") == [(0,)]


def test_workers_wait_while_the_merge_is_behind(database: Database) -> None:
    with open_workshop(database, asynchronous(2)) as shop:
        ada = shop.invite("ada")
        shop.turn()
        ada.work(4)
        shop.plan.run_once()
        # Two for the update, two for her, and all four of them wait for the merge.
        assert shop.rows("SELECT num_open FROM watch.progress") == [(0,)]
        shop.turn()
        assert shop.rows("SELECT num_open FROM watch.progress") == [(4,)]
