"""The chain of contributions: what the database writes, and what is found when somebody has been at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from coordinator.verifying import Verified, verify
from tests.integration.workshop import Person, Workshop, open_workshop
from tests.servers.databases import Database


@pytest.fixture
def shop(database: Database) -> Iterator[Workshop]:
    changes = {"mode": "async", "num_workunits_per_update": 3}
    with open_workshop(database, {"training": changes, "data": {"num_samples": 80}}) as made:
        yield made


@pytest.fixture
def ada(shop: Workshop) -> Person:
    person = shop.invite("ada")
    shop.turn()
    return person


def update(shop: Workshop, person: Person) -> None:
    head = shop.living.head
    person.work(3)
    assert shop.turn().version == head + 1


def verified(shop: Workshop, *expected: str) -> Verified:
    return verify(shop.owner, run="class", expected=expected)


def test_the_chain_that_the_database_makes_is_whole(shop: Workshop, ada: Person) -> None:
    for _ in range(3):
        update(shop, ada)
    found = verified(shop)
    assert (found.broken, found.num_links, found.num_samples) == (None, 9, 36)
