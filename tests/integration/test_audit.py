"""A merge computed again from the ledger, and what another rule would have made of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, event, text

from contract.errors import BlobError, ConfigError, NotFound
from contract.ids import Version
from coordinator.audit import Ask, Other, Replayed, WhatIf, replay, what_if
from coordinator.duties.prune import Prune
from coordinator.duties.remember import Remember
from tests.integration.workshop import Person, Workshop, open_workshop
from tests.servers.databases import Database

VALUES = (0.01, -0.002, 0.03)


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


def update(shop: Workshop, person: Person, number: int) -> None:
    for value in VALUES:
        person.submit(person.claim(), value=value * number)
    assert shop.turn().version == number


def replayed(shop: Workshop, version: int | None) -> Replayed:
    return replay(shop.owner, Ask(run="class", version=None if version is None else Version(version), kept=2))


def asked(shop: Workshop, other: Other, version: int = 1) -> WhatIf:
    return what_if(shop.owner, Ask(run="class", version=Version(version), kept=2), other)


def _forge(conn: Connection, column: str) -> None:
    conn.execute(text("ALTER TABLE ledger.aggregations DISABLE TRIGGER USER"))
    conn.execute(text(f"UPDATE ledger.aggregations SET {column} = sha256('something else')"))


def remember(shop: Workshop) -> None:
    Remember(engine=shop.owner, living=shop.living, leadership=shop.merge.leadership, longest_seconds=0).run_once()


def test_every_version_comes_out_as_it_was_published(shop: Workshop, ada: Person) -> None:
    late = ada.claim()
    update(shop, ada, 1)
    ada.submit(late, value=0.3)
    ada.work(2)
    shop.turn()
    found = [replayed(shop, version) for version in (1, 2)]
    assert [(one.agrees, one.num_gradients, one.remembered) for one in found] == [(True, 3, 0), (True, 3, 0)]
    assert found[0].recipe.rule.name == "mean"


def test_without_a_version_the_newest_is_meant(shop: Workshop, ada: Person) -> None:
    for number in (1, 2):
        update(shop, ada, number)
    assert replayed(shop, None).version == 2


def test_a_run_without_updates_has_nothing_to_compute_again(shop: Workshop) -> None:
    with pytest.raises(NotFound, match="version 0 was not merged of gradients; nothing was merged yet"):
        replayed(shop, None)


def test_a_version_that_was_not_merged_is_not_there(shop: Workshop, ada: Person) -> None:
    update(shop, ada, 1)
    with pytest.raises(NotFound, match="version 2 was not merged of gradients; 1 to 1 were"):
        replayed(shop, 2)


def test_other_weights_than_were_published_are_seen(shop: Workshop, ada: Person) -> None:
    update(shop, ada, 1)
    with shop.owner.begin() as conn:
        _forge(conn, "output_sha256")
    found = replayed(shop, 1)
    assert (found.agrees, found.inputs_agree, found.largest_difference) == (False, True, 0.0)


def test_other_gradients_than_were_recorded_are_seen(shop: Workshop, ada: Person) -> None:
    update(shop, ada, 1)
    with shop.owner.begin() as conn:
        _forge(conn, "input_sha256")
    found = replayed(shop, 1)
    assert (found.agrees, found.inputs_agree) == (False, False)


def test_a_gradient_whose_bytes_were_changed_is_named(shop: Workshop, ada: Person) -> None:
    update(shop, ada, 1)
    with shop.owner.begin() as conn:
        conn.execute(text("UPDATE ledger.gradient_blobs SET content = content || 'x' WHERE gradient_id = 2"))
    with pytest.raises(BlobError, match="version 1 cannot be computed again: gradient 2: "):
        replayed(shop, 1)


def test_what_was_pruned_is_named_with_what_keeps_it(shop: Workshop, ada: Person) -> None:
    update(shop, ada, 1)
    remember(shop)
    Prune(engine=shop.owner, living=shop.living, keep_versions=1, keep_gradient_blobs=0, keep_deltas=0).run_once()
    with pytest.raises(NotFound) as raised:
        replayed(shop, 1)
    assert str(raised.value) == (
        "version 1 of run class cannot be computed again; pruned are: what the optimizer remembered before it; of "
        "version 1 the gradients 1, 2, 3. coordinator.keep_gradient_blobs says for how many of the newest versions all "
        "of this is kept: it is 2, and the newest is 1"
    )


def test_the_newest_versions_can_be_computed_again_for_as_long_as_was_asked(shop: Workshop, ada: Person) -> None:
    prune = Prune(engine=shop.owner, living=shop.living, keep_versions=1, keep_gradient_blobs=2, keep_deltas=0)
    for number in (1, 2, 3, 4):
        update(shop, ada, number)
        remember(shop)
        prune.run_once()
    assert [replayed(shop, version).agrees for version in (3, 4)] == [True, True]
    with pytest.raises(NotFound, match="pruned are"):
        replayed(shop, 2)


def test_another_rule_is_asked(shop: Workshop, ada: Person) -> None:
    """The gradients are multiples of one vector, so that all can be worked out."""
    update(shop, ada, 1)
    found = asked(shop, Other(rule="median"))
    assert [(line.volunteer, line.num_samples) for line in found.lines] == [("ada", 4)] * 3
    assert [line.had["model"] for line in found.lines] == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    assert [line.would_have["model"] for line in found.lines] == [1.0, 0.0, 0.0]
    distance = found.distances["model"]
    mean = sum(VALUES) / 3
    assert distance.cosine == pytest.approx(1.0)
    assert distance.length == pytest.approx(0.01 / mean)
    assert distance.difference == pytest.approx(abs(0.01 - mean) / mean, rel=1e-4)
    assert (len(found.dropped_by_own), len(found.dropped_by_other)) == (0, 2)


def test_the_same_rule_is_no_distance_away(shop: Workshop, ada: Person) -> None:
    update(shop, ada, 1)
    distance = asked(shop, Other(rule="mean")).distances["model"]
    assert (distance.cosine, distance.length, distance.difference) == (pytest.approx(1.0), 1.0, 0.0)


def test_a_rule_that_needs_more_gradients_says_so(shop: Workshop, ada: Person) -> None:
    update(shop, ada, 1)
    with pytest.raises(ConfigError, match=r"version 1 was made of 3 gradients: krum needs n >= 2f\+3"):
        asked(shop, Other(rule="krum", num_byzantine=1))


def test_robust_stands_for_what_it_would_be(shop: Workshop, ada: Person) -> None:
    update(shop, ada, 1)
    other = asked(shop, Other(rule="robust", num_byzantine=1)).other
    assert [one.name for one in other.before] == ["nnm"]
    assert other.rule.name != "robust"


def test_an_audit_cannot_write(shop: Workshop, ada: Person) -> None:
    update(shop, ada, 1)
    may_write = []

    @event.listens_for(shop.owner, "after_cursor_execute")
    def look(conn: Connection, *_: object) -> None:
        may_write.append(not conn.connection.dbapi_connection.read_only)  # type: ignore[union-attr]

    asked(shop, Other(rule="median"))
    replayed(shop, 1)
    event.remove(shop.owner, "after_cursor_execute", look)
    assert may_write and not any(may_write)


def test_local_steps_and_deltas_come_out_as_they_were_published(database: Database) -> None:
    changes = {
        "training": {"mode": "local", "num_workunits_per_update": 3},
        "data": {"num_samples": 80},
        "aggregation": {"rule": "centered_clip", "before": ["nnm"], "num_byzantine": 1},
        "compression": {"downlink": "int8"},
    }
    with open_workshop(database, changes) as shop:
        ada = shop.invite("ada")
        shop.turn()
        for number in (1, 2, 3):
            update(shop, ada, number)
        assert [replayed(shop, version).agrees for version in (1, 2, 3)] == [True, True, True]
        distance = asked(shop, Other(rule="mean"), version=3).distances["model"]
        assert distance.difference > 0.0
