"""`training.num_workunits_per_update: auto` at work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from coordinator.living_run import open_run
from tests.integration.moving_time import silence
from tests.integration.workshop import Person, Workshop, open_workshop
from tests.servers.databases import Database

pytestmark = pytest.mark.own_server

AUTO = {"training": {"num_workunits_per_update": "auto"}}


@pytest.fixture
def shop(database: Database) -> Iterator[Workshop]:
    with open_workshop(database, AUTO) as made:
        yield made


def a_class(shop: Workshop, size: int) -> Person:
    ada = shop.invite("ada")
    for number in range(size - 1):
        shop.join(ada.engine, f"desk {number}")
    return ada


def test_an_update_follows_the_class(shop: Workshop) -> None:
    ada = a_class(shop, 10)
    shop.turn()
    assert shop.living.num_gradients == 5
    ada.work(5)
    assert shop.turn().merged == 5


def test_a_round_keeps_its_size_while_people_come(shop: Workshop) -> None:
    ada = a_class(shop, 2)
    shop.turn()
    for number in range(8):
        shop.join(ada.engine, f"late desk {number}")
    shop.turn()
    assert shop.living.num_gradients == 2
    ada.work(2)
    shop.turn()
    assert shop.living.num_gradients == 5


def test_each_change_is_written_down_with_its_reason(shop: Workshop) -> None:
    a_class(shop, 5)
    shop.turn()
    told = "SELECT old_state, new_state, reason FROM watch.events WHERE subject = 'num_gradients_per_update'"
    assert shop.rows(told) == [("1", "3", "auto: 5 workers are here, from version 0 on")]
    assert shop.rows("SELECT num_gradients_per_update FROM watch.progress") == [(3,)]


def test_a_restart_knows_the_size_of_the_round(shop: Workshop) -> None:
    a_class(shop, 5)
    shop.turn()
    with shop.owner.begin() as conn:
        assert open_run(conn, name="class").num_gradients == 3


def test_who_left_is_not_counted(shop: Workshop) -> None:
    ada = a_class(shop, 5)
    bob = shop.invite("bob")
    bob.leave()
    with shop.owner.begin() as conn:
        silence(conn, ada.joined.worker)
    shop.turn()
    assert shop.living.num_gradients == 3
    told = "SELECT reason FROM watch.events WHERE subject = 'num_gradients_per_update'"
    assert shop.rows(told) == [("auto: 4 workers are here, from version 0 on",)]


def test_while_nobody_is_here_the_size_stays(shop: Workshop) -> None:
    shop.turn()
    assert shop.living.num_gradients == 1
    a_class(shop, 5)
    shop.turn()
    assert shop.living.num_gradients == 3


def test_a_number_is_a_number(database: Database) -> None:
    with open_workshop(database, {"training": {"num_workunits_per_update": 2}}) as shop:
        a_class(shop, 10)
        shop.turn()
        assert shop.living.num_gradients == 2


def test_an_update_never_takes_fewer_than_its_rule_needs(database: Database) -> None:
    with open_workshop(database, {**AUTO, "aggregation": {"rule": "multi_krum", "num_byzantine": 1}}) as shop:
        assert shop.living.num_gradients == 5
        ada = a_class(shop, 2)
        shop.turn()
        assert shop.living.num_gradients == 5
        ada.work(5)
        assert shop.turn().merged == 5
        for number in range(13):
            shop.join(ada.engine, f"late desk {number}")
        shop.turn()
        ada.work(5)
        shop.turn()
        assert shop.living.num_gradients == 6
