"""The chain of contributions: what the database writes, for whom, and what it refuses."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy.exc
from sqlalchemy import Connection, Engine, text

from contract.errors import IllegalTransition, LeadershipLost
from contract.ids import RunId
from coordinator.forking import Origin, fork
from coordinator.ledger import runs
from coordinator.new_run import new_run
from coordinator.verifying import Verified, verify
from tests.integration.workshop import Person, Workshop, config_of, open_workshop
from tests.servers.databases import Database

GUIDE = Path(__file__).parents[2] / "docs/how-to/grade-from-the-ledger.md"
ASYNC = {"mode": "async", "num_workunits_per_update": 3}


@pytest.fixture
def shop(database: Database) -> Iterator[Workshop]:
    with open_workshop(database, {"training": ASYNC, "data": {"num_samples": 80}}) as made:
        yield made


@pytest.fixture
def ada(shop: Workshop) -> Person:
    person = shop.invite("ada")
    shop.turn()
    return person


def update(shop: Workshop, *people: Person) -> None:
    head = shop.living.head
    for person in people:
        person.work()
    assert shop.turn().version == head + 1


def verified(shop: Workshop, run: str = "class") -> Verified:
    return verify(shop.owner, run=run)


def test_each_merged_gradient_is_a_link_of_what_the_ledger_says(shop: Workshop, ada: Person) -> None:
    bob = shop.invite("bob")
    update(shop, ada, bob, ada)
    assert shop.rows(
        "SELECT number, gradient_id, unit_id, attempt, volunteer, worker_id, version, num_samples, weight"
        " FROM ledger.contributions ORDER BY number"
    ) == [
        (1, 1, 1, 1, "ada", 1, 1, 4, pytest.approx(1 / 3)),
        (2, 2, 2, 1, "bob", 2, 1, 4, pytest.approx(1 / 3)),
        (3, 3, 3, 1, "ada", 1, 1, 4, pytest.approx(1 / 3)),
    ]
    assert shop.rows(
        "SELECT count(*) FROM ledger.contributions c JOIN ledger.gradients g"
        " ON g.id = c.gradient_id AND g.sha256 = c.sha256 AND g.finished_at = c.merged_at"
    ) == [(3,)]


@pytest.mark.parametrize("mode", ["sync", "async", "local"])
def test_python_and_the_database_agree_on_every_hash(database: Database, mode: str) -> None:
    training = {"mode": mode, "num_workunits_per_update": 3}
    with open_workshop(database, {"training": training, "data": {"num_samples": 80}}) as shop:
        ada = shop.invite("ada")
        shop.turn()
        for _ in range(3):
            update(shop, ada, ada, ada)
        found = verified(shop)
        assert (found.broken, found.whole.num_links, found.whole.num_samples) == (None, 9, 36)
        assert shop.rows("SELECT hash FROM ledger.contributions WHERE number = 9") == [
            (found.head and found.head.hash,)
        ]


def test_the_links_of_a_version_are_in_the_order_of_its_merge(shop: Workshop, ada: Person) -> None:
    first, second, third = (ada.claim() for _ in range(3))
    for lease in (third, first, second):
        ada.submit(lease)
    assert shop.turn().version == 1
    assert shop.rows("SELECT array_agg(gradient_id ORDER BY number) FROM ledger.contributions") == shop.rows(
        "SELECT gradient_ids FROM ledger.aggregations"
    )
    assert shop.rows("SELECT array_agg(gradient_id ORDER BY number) FROM ledger.contributions") == [([2, 3, 1],)]
    assert verified(shop).is_whole


def test_a_gradient_that_was_refused_is_no_contribution(shop: Workshop, ada: Person) -> None:
    refused = ada.claim()
    ada.submit(refused, value=float("nan"))
    ada.work(3)
    assert shop.turn().refused
    assert shop.turn().merged == 3
    assert shop.rows(f"SELECT state FROM ledger.gradients WHERE unit_id = {refused.unit} AND attempt = 1") == [
        ("rejected",)
    ]
    assert verified(shop).whole.num_links == 3
    assert verified(shop).is_whole


def test_a_run_without_merges_has_an_empty_chain(shop: Workshop) -> None:
    found = verified(shop)
    assert (found.broken, found.whole.num_links, found.head) == (None, 0, None)


def test_a_fork_begins_a_chain_of_its_own(shop: Workshop, ada: Person) -> None:
    update(shop, ada, ada, ada)
    config = config_of({"training": ASYNC, "data": {"num_samples": 80}})
    config = config.model_copy(update={"run": config.run.model_copy(update={"name": "twin"})})
    fork(shop.owner, new_run(config, config_file=None), Origin(run="class", version=None))
    assert [(verified(shop, run).whole.num_links, verified(shop, run).is_whole) for run in ("class", "twin")] == [
        (3, True),
        (0, True),
    ]


def test_runs_of_one_ledger_do_not_disturb_each_other(shop: Workshop, ada: Person) -> None:
    update(shop, ada, ada, ada)
    with shop.owner.begin() as conn:
        other = runs.create_run(conn, another_run())
        for unit in (1001, 1002):
            _merge_by_hand(conn, other, unit)
    update(shop, ada, ada, ada)
    assert [(verified(shop, run).whole.num_links, verified(shop, run).broken) for run in ("class", "another")] == [
        (6, None),
        (2, None),
    ]


def another_run() -> runs.NewRun:
    return runs.NewRun(
        name="another", mode="async", workload="none", workload_options={}, data={}, training={}, seed=-5,
        num_gradients_per_update=2,
    )  # fmt: skip


def _merge_by_hand(conn: Connection, run: RunId, unit: int) -> None:
    """A gradient of a worker that nobody knows any more."""
    values = {"run": run, "unit": unit}
    gradient = conn.execute(
        text("""
            INSERT INTO ledger.gradients (run_id, unit_id, attempt, worker_id, base_version, state)
            VALUES (:run, :unit, 1, 999, 0, 'uploading') RETURNING id"""),
        values,
    ).scalar_one()
    for look in (
        "state = 'submitted', codec = 'none', num_samples = 10, num_parts = 1, sha256 = sha256('x'),"
        " submitted_at = now()",
        "state = 'merged', finished_at = now(), merged_version = 1, weight = 1e-300",
    ):
        conn.execute(text(f"UPDATE ledger.gradients SET {look} WHERE id = {gradient}"))
    conn.execute(text(f"INSERT INTO ledger.contributions (gradient_id) VALUES ({gradient})"))


def test_whoever_is_gone_has_no_name_in_the_chain(shop: Workshop) -> None:
    with shop.owner.begin() as conn:
        _merge_by_hand(conn, runs.create_run(conn, another_run()), 1)
    assert shop.rows("SELECT volunteer FROM ledger.contributions") == [("(gone)",)]
    assert verified(shop, "another").is_whole


def test_in_a_private_run_nothing_can_be_told_from_a_hash(database: Database) -> None:
    training = {"num_workunits_per_update": 2, "num_epochs": 5}
    privacy = {"enabled": True, "clip_norm": 0.5, "noise_multiplier": 2.0, "epsilon_budget": 8.0}
    with open_workshop(database, {"training": training, "data": {"num_samples": 16}, "privacy": privacy}) as shop:
        ada = shop.invite("ada")
        shop.turn()
        update(shop, ada, ada)
        assert shop.rows("SELECT count(*), count(sha256) FROM ledger.contributions") == [(2, 0)]
        assert shop.rows("SELECT count(*), count(sha256) FROM watch.contributions") == [(2, 0)]
        assert verified(shop).is_whole


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger.contributions SET num_samples = 1000000 WHERE volunteer = 'ada'",
        "UPDATE ledger.contributions SET hash = hash",
        "DELETE FROM ledger.contributions WHERE number = 1",
        "TRUNCATE ledger.contributions",
    ],
)
def test_not_even_the_owner_changes_a_link(shop: Workshop, ada: Person, statement: str) -> None:
    update(shop, ada, ada, ada)
    with pytest.raises(IllegalTransition, match="contributions is never changed"):
        execute(shop.owner, statement)


def test_whoever_adds_a_link_only_names_the_gradient(shop: Workshop) -> None:
    with shop.owner.begin() as conn:
        run = runs.create_run(conn, another_run())
        _merge_by_hand(conn, run, 1)
    with pytest.raises(sqlalchemy.exc.IntegrityError, match="uq_contributions_gradient_id"):
        execute(shop.owner, "INSERT INTO ledger.contributions (gradient_id, volunteer, number) VALUES (1, 'eve', 7)")


def test_what_is_said_beside_the_gradient_is_not_heard(shop: Workshop) -> None:
    with shop.owner.begin() as conn:
        run = runs.create_run(conn, another_run())
        _merge_by_hand(conn, run, 1)
        conn.execute(text("ALTER TABLE ledger.contributions DISABLE TRIGGER contributions_are_append_only"))
        conn.execute(text("DELETE FROM ledger.contributions"))
        conn.execute(
            text("""
                INSERT INTO ledger.contributions
                VALUES (77, 7, 1, 7, 7, 'eve', 7, 7, 1000000, 7, 'x', now() - interval '1 year', 'x', 'x')""")
        )
    assert shop.rows("SELECT run_id, number, volunteer, num_samples FROM ledger.contributions") == [
        (run, 1, "(gone)", 10)
    ]
    assert verified(shop, "another").is_whole


def test_a_gradient_that_was_not_merged_cannot_be_linked(shop: Workshop, ada: Person) -> None:
    ada.work()
    for gradient in (1, 404):
        with pytest.raises(IllegalTransition, match=f"gradient {gradient} was not merged"):
            execute(shop.owner, f"INSERT INTO ledger.contributions (gradient_id) VALUES ({gradient})")


def test_a_merge_that_is_not_published_leaves_no_link(shop: Workshop, ada: Person) -> None:
    ada.work(3)
    execute(shop.owner, "UPDATE ledger.leaders SET holder = gen_random_uuid()")
    assert not shop.merge.leadership.hold()
    with pytest.raises(LeadershipLost):
        shop.merge.run_once()
    assert shop.rows("SELECT count(*) FROM ledger.contributions") == [(0,)]


def test_every_volunteer_can_compute_every_hash_again(
    shop: Workshop, ada: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the lines that the documentation gives them."""
    for _ in range(2):
        update(shop, ada, ada, ada)
    (script,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    (tmp_path / "lines_of_the_guide.py").write_text(script, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    guide = importlib.import_module("lines_of_the_guide")
    with ada.engine.connect() as conn:
        (seed,) = conn.execute(text("SELECT seed FROM watch.run_definitions WHERE run = 'class'")).one()
        links = conn.execute(text("SELECT * FROM watch.contributions WHERE run = 'class' ORDER BY number")).all()
    before = guide.anchor("class", seed)
    for link in links:
        assert (link.previous, link.hash) == (before, guide.link_hash(link))
        before = link.hash
    assert len(links) == 6


@pytest.mark.parametrize("group", ["barnraise_volunteers", "barnraise_observers"])
def test_everybody_reads_the_chain_and_nobody_the_table(
    shop: Workshop, ada: Person, superuser_connection: Connection, group: str
) -> None:
    update(shop, ada, ada, ada)
    superuser_connection.execute(text(f"SET ROLE {group}"))
    count = "SELECT count(*) FROM {}.contributions WHERE volunteer = 'ada'"
    assert superuser_connection.execute(text(count.format("watch"))).scalar_one() == 3
    with pytest.raises(sqlalchemy.exc.ProgrammingError, match="permission denied"):
        superuser_connection.execute(text(count.format("ledger")))


def execute(engine: Engine, statement: str) -> None:
    with engine.begin() as conn:
        conn.execute(text(statement))
