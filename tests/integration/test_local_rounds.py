"""Rounds of local steps: what each worker did counts by its samples, and a restart merges to the same bits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from coordinator.living_run import open_run
from tests.integration.workshop import SAMPLES_PER_UNIT, Person, Workshop, open_workshop
from tests.servers.databases import Database


@pytest.fixture
def shop(database: Database) -> Iterator[Workshop]:
    training = {"mode": "local", "num_workunits_per_update": 2, "outer_learning_rate": 0.7, "outer_momentum": 0.9}
    with open_workshop(database, {"training": training}) as made:
        yield made


@pytest.fixture
def ada(shop: Workshop) -> Person:
    person = shop.invite("ada")
    shop.turn()
    return person


def update(shop: Workshop, person: Person, number: int) -> None:
    for value in (0.01 * number, -0.002):
        person.submit(person.claim(), value=value)
    assert shop.turn().version == number


def test_whoever_did_fewer_steps_counts_for_less(shop: Workshop, ada: Person) -> None:
    ada.submit(ada.claim())
    ada.submit(ada.claim(), num_samples=1)
    assert shop.turn().version == 1
    shares = shop.rows("SELECT weight FROM ledger.gradients WHERE state = 'merged' ORDER BY unit_id")
    whole = SAMPLES_PER_UNIT + 1
    assert shares == [(SAMPLES_PER_UNIT / whole,), (1 / whole,)]


def test_the_first_step_is_nesterovs(shop: Workshop, ada: Person) -> None:
    before = {name: value.clone() for name, value in shop.living.state.weights.items()}
    for _ in range(2):
        ada.submit(ada.claim(), value=0.01)
    shop.turn()
    for name, value in shop.living.state.weights.items():
        # m = D, so the step is lr (D + mu m).
        assert float((before[name] - value - 0.7 * 1.9 * 0.01).abs().max()) < 1e-6


def test_what_comes_late_is_not_merged(shop: Workshop, ada: Person) -> None:
    bob = shop.invite("bob")
    update(shop, ada, 1)
    late = bob.claim()
    shop.let_pass(601)
    ada.submit(ada.claim())
    assert shop.turn().version == 2
    states = shop.rows(f"SELECT state, state_reason FROM ledger.work_units WHERE id = {late.unit}")
    assert states[0][0] == "cancelled"
    assert str(states[0][1]).startswith("late: ")


def test_a_restart_merges_to_the_same_bits(shop: Workshop, ada: Person) -> None:
    update(shop, ada, 1)
    update(shop, ada, 2)
    with shop.owner.begin() as conn:
        again = open_run(conn, name="class")
    assert (again.head, again.remembered) == (2, 0)
    assert again.state.weights_blob == shop.living.state.weights_blob
    assert again.state.optimizer_blob == shop.living.state.optimizer_blob
