"""A private run in the ledger: epsilon with every version, noise that survives a restart, an end before the budget."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from contract.errors import NotFound
from contract.ids import Version
from coordinator.audit import Ask, replay
from coordinator.duties.finish import EVERY_EPOCH
from coordinator.living_run import LivingRun, open_run
from coordinator.privacy import Privacy
from tests.integration.workshop import Person, Workshop, open_workshop
from tests.servers.databases import Database

# Two epochs of these terms come to epsilon 6.6, three to 8.7.
PRIVACY = {"enabled": True, "clip_norm": 0.5, "noise_multiplier": 2.0, "epsilon_budget": 8.0}
TRAINING = {"num_workunits_per_update": 2, "num_epochs": 5}


@pytest.fixture(params=["sync", "async", "local"])
def shop(database: Database, request: pytest.FixtureRequest) -> Iterator[Workshop]:
    # Four units an epoch: an update never takes samples from two.
    changes = {"training": {**TRAINING, "mode": request.param}, "data": {"num_samples": 16}, "privacy": PRIVACY}
    with open_workshop(database, changes) as made:
        yield made


@pytest.fixture
def ada(shop: Workshop) -> Person:
    person = shop.invite("ada")
    shop.turn()
    return person


def update(shop: Workshop, person: Person, *, value: float = 0.01) -> None:
    head = shop.living.head
    for _ in range(2):
        person.submit(person.claim(), value=value)
    assert shop.turn().version == head + 1


def restarted(shop: Workshop) -> LivingRun:
    with shop.owner.begin() as conn:
        return open_run(conn, name="class")


def epsilons(shop: Workshop) -> list[float]:
    rows = shop.rows("SELECT value FROM ledger.metrics WHERE name = 'epsilon' ORDER BY version")
    return [float(str(value)) for (value,) in rows]


def privacy(shop: Workshop) -> Privacy:
    assert shop.living.how.privacy is not None
    return shop.living.how.privacy


def test_every_version_says_what_it_gave_away(shop: Workshop, ada: Person) -> None:
    for _ in range(3):
        update(shop, ada)
    one, two = (privacy(shop).epsilon(cost) for cost in (1, 2))
    assert epsilons(shop) == [one, one, two]


def test_everybody_weighs_the_same_however_little_they_did(shop: Workshop, ada: Person) -> None:
    ada.submit(ada.claim())
    ada.submit(ada.claim(), num_samples=1)
    shop.turn()
    assert shop.rows("SELECT weight FROM ledger.gradients WHERE state = 'merged'") == [(0.5,), (0.5,)]


def test_a_restart_goes_on_from_the_noisy_bits(shop: Workshop, ada: Person) -> None:
    update(shop, ada)
    update(shop, ada)
    again = restarted(shop)
    assert (again.head, again.remembered) == (2, 2)
    assert again.state.weights_blob == shop.living.state.weights_blob
    assert again.state.optimizer_blob == shop.living.state.optimizer_blob
    assert again.account is not None
    assert again.account.epsilon == epsilons(shop)[-1]


def test_a_restart_follows_the_deltas_too(database: Database) -> None:
    changes = {"training": TRAINING, "privacy": PRIVACY, "compression": {"downlink": "fp16", "keyframe_interval": 2}}
    with open_workshop(database, {**changes, "data": {"num_samples": 16}}) as shop:
        ada = shop.invite("ada")
        shop.turn()
        for _ in range(3):
            update(shop, ada)
        again = restarted(shop)
        assert again.state.weights_blob == shop.living.state.weights_blob
        assert again.state.optimizer_blob == shop.living.state.optimizer_blob


def test_two_runs_of_one_seed_differ_by_their_noise(shop: Workshop, ada: Person) -> None:
    before = {name: value.clone() for name, value in shop.living.state.weights.items()}
    update(shop, ada, value=0.0)
    moved = [not torch.equal(value, before[name]) for name, value in shop.living.state.weights.items()]
    assert all(moved)


def test_an_audit_says_why_there_is_nothing_to_compare(shop: Workshop, ada: Person) -> None:
    update(shop, ada)
    with pytest.raises(NotFound, match="run class is private: the noise in version 1 is written down nowhere"):
        replay(shop.owner, Ask(run="class", version=Version(1), kept=0))


def test_the_run_ends_before_its_budget_is_passed(shop: Workshop, ada: Person) -> None:
    for _ in range(4):
        update(shop, ada)
    for _ in range(2):
        ada.submit(ada.claim())
    assert shop.turn().version is None
    report = shop.finish.run_once()
    assert report.finished
    assert report.reason is not None
    assert report.reason.startswith(f"the privacy budget is spent: epsilon is {privacy(shop).epsilon(2):.3f}")
    assert shop.rows("SELECT state, state_reason FROM ledger.runs") == [("finished", report.reason)]
    assert max(epsilons(shop)) <= 8.0
    assert shop.rows("SELECT DISTINCT state FROM ledger.gradients WHERE merged_version IS NULL") == [("discarded",)]
    assert shop.rows("SELECT state FROM ledger.work_units WHERE state NOT IN ('merged', 'cancelled')") == []
    assert shop.living.head == 4


def test_a_run_that_is_given_more_epochs_ends_again(shop: Workshop, ada: Person) -> None:
    for _ in range(4):
        update(shop, ada)
    for _ in range(2):
        ada.submit(ada.claim())
    shop.turn()
    shop.finish.run_once()
    with shop.owner.begin() as conn:
        conn.exec_driver_sql("UPDATE ledger.runs SET state = 'running', finished_at = NULL")
    shop.living.spent = None
    shop.living.mark_stale()
    assert shop.turn().version is None
    assert shop.finish.run_once().reason != EVERY_EPOCH
    assert shop.living.head == 4
