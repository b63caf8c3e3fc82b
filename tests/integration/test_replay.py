"""A coordinator that ends between a version and what the optimizer remembered of it: no bit is lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from contract.errors import BlobError, LeadershipLost
from contract.ids import Version
from coordinator.aggregators import compiled
from coordinator.duties.prune import Prune
from coordinator.duties.remember import Remember
from coordinator.ledger import versions
from coordinator.living_run import LivingRun, open_run
from tests.integration.workshop import Person, Workshop, open_workshop
from tests.servers.databases import Database


@pytest.fixture
def shop(database: Database) -> Iterator[Workshop]:
    changes = {"mode": "async", "num_workunits_per_update": 2, "gradient_clip_norm": 0.01}
    # Versions as deltas have the same tests in test_downlink.py.
    with open_workshop(database, {"training": changes, "compression": {"downlink": "none"}}) as made:
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


def restarted(shop: Workshop) -> LivingRun:
    with shop.owner.begin() as conn:
        return open_run(conn, name="class")


def is_same(one: LivingRun, other: LivingRun) -> bool:
    return (
        one.head == other.head
        and one.state.step == other.state.step
        and one.state.weights_blob == other.state.weights_blob
        and one.state.optimizer_blob == other.state.optimizer_blob
    )


def remember(shop: Workshop) -> Remember:
    return Remember(engine=shop.owner, living=shop.living, leadership=shop.merge.leadership, longest_seconds=0)


def prune(shop: Workshop) -> None:
    Prune(engine=shop.owner, living=shop.living, keep_versions=1, keep_gradient_blobs=0, keep_deltas=0).run_once()


def test_a_restart_merges_again_what_the_optimizer_had_not_written_down(shop: Workshop, ada: Person) -> None:
    late = ada.claim()
    update(shop, ada, 1)
    ada.submit(late, value=0.3)
    ada.work()
    shop.turn()
    again = restarted(shop)
    assert (again.head, again.remembered) == (2, 0)
    assert is_same(again, shop.living)


@pytest.mark.parametrize(
    "aggregation",
    [
        {"rule": "median"},
        {"rule": "multi_krum"},
        {"rule": "trimmed_mean", "before": ["bucketing", "clip"], "before_options": {"bucketing": {"size": 2}}},
    ],
    ids=lambda aggregation: str(aggregation["rule"]),
)
def test_a_restart_merges_again_by_the_same_recipe(database: Database, aggregation: dict[str, object]) -> None:
    training = {"mode": "async", "num_workunits_per_update": 5}
    with open_workshop(database, {"training": training, "aggregation": aggregation}) as shop:
        shop.turn()
        ada = shop.invite("ada")
        for version in (1, 2):
            for value in (0.01, -0.02, 0.005, 0.01 * version, 5.0):
                ada.submit(ada.claim(), value=value)
            assert shop.turn().version == version
        assert is_same(restarted(shop), shop.living)


def test_it_is_merged_again_by_the_recipe_it_was_merged_by(shop: Workshop, ada: Person) -> None:
    """Whatever the run's own would be by now; it is recorded with each merge."""
    update(shop, ada, 1)
    with shop.owner.begin() as conn:
        conn.execute(text("UPDATE ledger.runs SET training = jsonb_set(training, '{rule}', '\"median\"')"))
        aggregation = versions.find_aggregation(conn, run=shop.run, version=Version(1))
    assert aggregation is not None
    assert (aggregation.rule, aggregation.options) == (
        "mean", {"options": {}, "before": [], "values_at_a_time": 1 << 20, "compiled_from": compiled.WORTH_VALUES},
    )  # fmt: skip
    assert is_same(restarted(shop), shop.living)


def test_it_begins_at_the_version_that_is_remembered(shop: Workshop, ada: Person) -> None:
    update(shop, ada, 1)
    assert remember(shop).run_once().version == 1
    update(shop, ada, 2)
    again = restarted(shop)
    assert again.remembered == 1
    assert is_same(again, shop.living)


def test_pruning_leaves_what_a_restart_needs_and_nothing_more(shop: Workshop, ada: Person) -> None:
    for number in (1, 2):
        update(shop, ada, number)
    remember(shop).run_once()
    for number in (3, 4):
        update(shop, ada, number)
    prune(shop)
    assert is_same(restarted(shop), shop.living)
    assert shop.rows("SELECT DISTINCT version, kind FROM ledger.model_parts ORDER BY 1, 2") == [
        (2, "optimizer"), (2, "weights"), (4, "weights"),
    ]  # fmt: skip
    kept = "SELECT count(*) FROM ledger.gradient_blobs"
    assert shop.rows(kept) == [(4,)]
    remember(shop).run_once()
    prune(shop)
    assert shop.rows(kept) == [(0,)]
    assert is_same(restarted(shop), shop.living)


def test_it_is_not_written_for_every_version(shop: Workshop, ada: Person) -> None:
    update(shop, ada, 1)
    patient = Remember(engine=shop.owner, living=shop.living, leadership=shop.merge.leadership)
    assert patient.run_once().version is None


def test_it_is_written_when_the_gradients_kept_for_it_are_many(shop: Workshop, ada: Person) -> None:
    patient = Remember(engine=shop.owner, living=shop.living, leadership=shop.merge.leadership, most_gradients=1)
    update(shop, ada, 1)
    update(shop, ada, 2)
    assert patient.run_once().version == 2
    assert patient.run_once().version is None


def test_a_commit_whose_answer_was_lost_is_found_again(shop: Workshop, ada: Person) -> None:
    update(shop, ada, 1)
    remember(shop).run_once()
    shop.living.remembered = Version(0)
    with pytest.raises(LeadershipLost):
        remember(shop).run_once()
    update(shop, ada, 2)
    assert (shop.living.remembered, remember(shop).run_once().version) == (1, 2)


def test_weights_as_published_count_where_a_replay_adds_up_otherwise(shop: Workshop, ada: Person) -> None:
    update(shop, ada, 1)
    with shop.owner.begin() as conn:
        # As if the moments had been formed on another machine.
        parts = list(versions.read_parts(conn, run=shop.run, version=Version(0), kind="optimizer"))
        changed = parts[0][:-8] + b"\x00\x00\x80\x3f" + parts[0][-4:]
        conn.execute(
            text("UPDATE ledger.model_parts SET content = :content WHERE version = 0 AND kind = 'optimizer'"),
            {"content": changed},
        )
    again = restarted(shop)
    assert again.state.weights_blob == shop.living.state.weights_blob
    assert again.state.optimizer_blob != shop.living.state.optimizer_blob


def test_a_gradient_that_is_gone_is_named(shop: Workshop, ada: Person) -> None:
    update(shop, ada, 1)
    with shop.owner.begin() as conn:
        conn.execute(text("DELETE FROM ledger.gradient_blobs WHERE gradient_id = 1"))
    with pytest.raises(BlobError, match="version 1 cannot be computed again: gradient 1: "):
        restarted(shop)
