"""Gradients are looked at as they arrive; what comes of an update does not depend on when that was."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from coordinator.living_run import open_run
from tests.integration.workshop import Person, Workshop, open_workshop
from tests.servers.databases import Database

STATES = "SELECT state FROM ledger.gradients ORDER BY id"


@pytest.fixture
def shop(database: Database) -> Iterator[Workshop]:
    changes = {"mode": "sync", "num_workunits_per_update": 3, "gradient_clip_norm": 0.01}
    with open_workshop(database, {"training": changes}) as made:
        yield made


@pytest.fixture
def ada(shop: Workshop) -> Person:
    person = shop.invite("ada")
    shop.turn()
    return person


def test_looking_at_them_one_by_one_changes_no_bit(shop: Workshop, ada: Person) -> None:
    for value in (0.5, -0.2, 0.1):
        ada.submit(ada.claim(), value=value)
        shop.turn()
    assert shop.living.head == 1
    with shop.owner.begin() as conn:
        # A restart merges them again, all at once.
        again = open_run(conn, name="class")
    assert again.remembered == 0
    assert again.state.weights_blob == shop.living.state.weights_blob
    assert again.state.optimizer_blob == shop.living.state.optimizer_blob


def test_one_that_is_not_finite_waits_for_its_verdict_until_the_update_is_due(shop: Workshop, ada: Person) -> None:
    ada.submit(ada.claim(), value=math.nan)
    assert shop.turn().refused == ()
    ada.work()
    shop.turn()
    assert shop.rows(STATES) == [("submitted",)] * 2
    ada.work()
    assert shop.turn().refused == ("not finite: model",)
    assert shop.rows(STATES) == [("rejected",), ("submitted",), ("submitted",)]


def test_one_whose_bytes_vanish_after_the_look_is_refused_and_the_round_goes_on(shop: Workshop, ada: Person) -> None:
    ada.work(2)
    shop.turn()
    with shop.owner.begin() as conn:
        conn.execute(text("DELETE FROM ledger.gradient_blobs WHERE gradient_id = 1"))
    ada.work()
    assert shop.turn().refused == ("cut short",)
    ada.work()
    assert shop.turn().version == 1


def test_one_that_was_found_unsound_is_not_read_again(shop: Workshop, ada: Person) -> None:
    ada.submit(ada.claim(), value=math.nan)
    shop.turn()
    with shop.owner.begin() as conn:
        conn.execute(text("DELETE FROM ledger.gradient_blobs WHERE gradient_id = 1"))
    shop.turn()
    ada.work(2)
    assert shop.turn().refused == ("not finite: model",)
