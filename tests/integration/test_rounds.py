"""Synchronous rounds: what closes them, who was late, and what becomes of the samples."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from coordinator.living_run import open_run
from tests.integration.workshop import Workshop, open_workshop
from tests.servers.databases import Database


@pytest.fixture
def shop(database: Database) -> Iterator[Workshop]:
    """Two gradients an update, one spare unit, ten units in all."""
    with open_workshop(database, {"training": {"num_workunits_per_update": 2, "spare_units": 1}}) as made:
        made.turn()
        yield made


def test_a_round_closes_when_it_is_full(shop: Workshop) -> None:
    shop.invite("ada").work(2)
    report = shop.turn()
    assert (report.version, report.merged, report.late) == (1, 2, ())


def test_a_round_waits_for_the_last_before_its_deadline(shop: Workshop) -> None:
    shop.invite("ada").work()
    shop.let_pass(599)
    assert shop.turn().version is None


def test_a_deadline_closes_a_round_with_what_it_has_and_says_who_was_late(shop: Workshop) -> None:
    ada, bob = shop.invite("ada"), shop.invite("bob")
    slow = bob.claim()
    ada.work()
    shop.let_pass(601)
    report = shop.turn()
    assert (report.version, report.merged) == (1, 1)
    assert [(late.volunteer, late.worker, late.unit) for late in report.late] == [("bob", "bobs laptop", slow.unit)]


def test_who_was_late_stands_in_the_log(shop: Workshop) -> None:
    bob = shop.invite("bob")
    slow = bob.claim()
    shop.invite("ada").work()
    shop.let_pass(601)
    shop.turn()
    late = "SELECT volunteer, subject_id FROM watch.events WHERE new_state = 'cancelled' AND old_state = 'leased'"
    assert shop.rows(
        f"{late} AND reason LIKE 'late: the round of version 0 closed after 60_ s with 1 of 2 gradients'"
    ) == [("bob", slow.unit)]


def test_a_spare_unit_is_not_late_when_the_round_was_full(shop: Workshop) -> None:
    ada, bob = shop.invite("ada"), shop.invite("bob")
    ada.work(2)
    bob.claim()
    shop.let_pass(601)
    assert shop.turn().late == ()


def test_a_round_without_a_gradient_waits_on_and_says_so(shop: Workshop) -> None:
    ada = shop.invite("ada")
    shop.let_pass(601)
    report = shop.turn()
    assert report.version is None
    assert report.overdue is not None
    assert "no gradient has come; 1 worker is here, and the run waits on" in str(report.overdue)
    ada.work()
    assert shop.turn().version == 1


def test_a_coordinator_that_begins_gives_the_round_its_whole_time(shop: Workshop) -> None:
    shop.invite("ada").work()
    shop.let_pass(601)
    shop.rows("UPDATE ledger.leaders SET elected_at = now() RETURNING run_id")
    assert shop.turn().version is None


def test_one_worker_finishes_what_eight_began(database: Database) -> None:
    with open_workshop(database, {"training": {"num_workunits_per_update": 8}}) as shop:
        shop.turn()
        others = [shop.invite(name) for name in ("bob", "cleo", "dan")]
        for other in others:
            other.claim()
            other.leave()
        ada = shop.invite("ada")
        ada.work(8)
        assert shop.turn().merged == 8
        ada.work(2)
        assert shop.turn().merged == 2
        assert shop.finish.run_once().finished


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_what_is_left_at_the_end_and_too_little_for_the_rule_does_not_keep_the_run_from_ending(
    database: Database, mode: str
) -> None:
    training = {"mode": mode, "num_workunits_per_update": 7, "spare_units": 0}
    aggregation = {"rule": "krum", "num_byzantine": 2}
    with open_workshop(database, {"training": training, "aggregation": aggregation}) as shop:
        shop.turn()
        ada = shop.invite("ada")
        ada.work(7)
        assert shop.turn().merged == 7
        # Of ten units three are left: one delivered, one under way, one that nobody has taken.
        ada.work()
        ada.claim()
        assert shop.turn().version is None
        report = shop.finish.run_once()
        problem = "krum needs n >= 2f+3 gradients, here at least 7; there are 3"
        reason = f"every epoch is computed; the last 3 units are too few for an update: {problem}"
        assert report.reason == reason
        assert shop.rows("SELECT state, count(*), min(state_reason) FROM ledger.work_units GROUP BY 1 ORDER BY 1") == [
            ("cancelled", 3, reason), ("merged", 7, None),
        ]  # fmt: skip
        last = "SELECT reason FROM watch.events WHERE subject = 'run' AND new_state = 'finished'"
        assert shop.rows(last) == [(reason,)]


def test_the_last_update_takes_as_many_as_the_rule_can_use(database: Database) -> None:
    """With this trim nothing is left of six, but of five one is."""
    changes = {
        "training": {"mode": "async", "num_workunits_per_update": 5},
        "aggregation": {"rule": "trimmed_mean", "options": {"trim": 0.4}},
    }
    with open_workshop(database, changes) as shop:
        shop.turn()
        ada = shop.invite("ada")
        ada.work(4)
        shop.turn()
        ada.work(2)
        assert shop.turn().merged == 5


def test_a_late_gradient_is_discarded_and_its_samples_are_used_once_after_all(shop: Workshop) -> None:
    ada, bob = shop.invite("ada"), shop.invite("bob")
    late = bob.claim()
    ada.work(2)
    # The round is full, and before it is closed the third comes too.
    bob.submit(late)
    while not shop.finish.run_once().finished:
        shop.turn()
        if shop.rows("SELECT 1 FROM ledger.work_units WHERE state = 'open' LIMIT 1"):
            ada.work()
    used = "SELECT first_sample, count(*) FROM ledger.work_units WHERE state = 'merged' GROUP BY 1 ORDER BY 1"
    assert shop.rows(used) == [(4 * n, 1) for n in range(10)]
    assert shop.rows("SELECT used_samples, surplus_samples, skipped_samples FROM watch.epochs") == [(40, 4, 0)]


def test_a_restart_in_a_round_goes_on_with_it(shop: Workshop) -> None:
    shop.invite("ada").work()
    with shop.owner.begin() as conn:
        again = open_run(conn, name="class")
    assert (again.head, again.num_gradients) == (0, 2)
    # Three units are out, so the fourth is the next.
    assert again.pool.take(1) == [3]


def test_work_that_moved_the_model_is_counted_against_all_that_was_computed(shop: Workshop) -> None:
    ada, bob = shop.invite("ada"), shop.invite("bob")
    ada.work(2)
    bob.work()
    shop.turn()
    shop.turn()
    columns = "num_begun, num_computed, num_merged, share_used"
    assert shop.rows(f"SELECT {columns} FROM watch.progress") == [(3, 3, 2, pytest.approx(2 / 3))]
