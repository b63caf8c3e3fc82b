"""A superuser takes the triggers off and changes the chain: it is found, and the first broken link is named."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text

from coordinator.chain import anchor_of, hash_of
from coordinator.ledger import contributions
from coordinator.verifying import Broken, verify
from tests.integration.workshop import Person, Workshop, open_workshop
from tests.servers.databases import Database

NOT_WHAT_IT_SAYS = "its hash is not that of what it says"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Nine links of three versions, three each: ada's but for those with the numbers 2, 5 and 8, which are bob's."""

    shop: Workshop
    superuser: Connection

    def do(self, *statements: str) -> None:
        for statement in statements:
            self.superuser.execute(text(statement))

    def broken(self) -> Broken | None:
        return verify(self.shop.owner, run="class").broken

    def first_broken(self) -> tuple[int | None, list[str]]:
        found = self.broken()
        assert found is not None
        return found.number, list(found.differs)

    def head(self) -> str:
        head = verify(self.shop.owner, run="class").head
        assert head is not None
        return head.hash.hex()

    def still_has(self, *digits: str) -> list[int | None]:
        return [one.number for one in verify(self.shop.owner, run="class", expected=digits).sought]

    def forge_on(self) -> None:
        """Every hash anew, as somebody would who has read the documentation."""
        with self.shop.owner.begin() as conn:
            links = [link for link, _ in contributions.stream_links(conn, run=self.shop.run, is_private=False)]
        before = anchor_of("class", self.shop.living.cutting.run_seed)
        for link in links:
            forged = dataclasses.replace(link, previous=before)
            before = hash_of(forged)
            self.superuser.execute(
                text("UPDATE ledger.contributions SET previous = :previous, hash = :hash WHERE number = :number"),
                {"previous": forged.previous, "hash": before, "number": link.number},
            )


@pytest.fixture
def scene(database: Database, superuser_connection: Connection) -> Iterator[Scene]:
    training = {"mode": "async", "num_workunits_per_update": 3}
    with open_workshop(database, {"training": training, "data": {"num_samples": 80}}) as shop:
        ada, bob = shop.invite("ada"), shop.invite("bob")
        shop.turn()
        for _ in range(3):
            update(shop, ada, bob)
        scene = Scene(shop=shop, superuser=superuser_connection)
        for table in ("contributions", "gradients", "aggregations"):
            scene.do(f"ALTER TABLE ledger.{table} DISABLE TRIGGER USER")
        assert scene.broken() is None
        yield scene


def update(shop: Workshop, ada: Person, bob: Person) -> None:
    for person in (ada, bob, ada):
        person.work()
    assert shop.turn().merged == 3


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ("unit_id = 404", "unit: the link says 404, gradient 5 has 5"),
        ("attempt = 2", "attempt: the link says 2, gradient 5 has 1"),
        ("volunteer = 'ada'", "volunteer: the link says ada, gradient 5 has bob"),
        ("worker_id = 1", "worker: the link says 1, gradient 5 has 2"),
        ("version = 1", "version: the link says 1, gradient 5 has 2"),
        ("num_samples = 1000000", "samples: the link says 1000000, gradient 5 has 4"),
        ("weight = 0.5", "weight: the link says 0.5, gradient 5 has 0.333"),
        ("sha256 = sha256('x')", "sha256: the link says 2d711642"),
        ("sha256 = NULL", "sha256: the link says nothing, gradient 5 has "),
        ("sha256 = ''", "sha256: the link says , gradient 5 has "),
        ("merged_at = '2001-01-01 UTC'", "merged at: the link says 2001-01-01T00:00:00+00:00, gradient 5 has 20"),
        ("merged_at = 'infinity'", "merged at: the link says a moment that no calendar has, gradient 5 has 20"),
    ],
)
def test_a_field_that_was_changed_is_named(scene: Scene, change: str, field: str) -> None:
    scene.do(f"UPDATE ledger.contributions SET {change} WHERE number = 5")
    number, (first, second) = scene.first_broken()
    assert (number, first) == (5, NOT_WHAT_IT_SAYS)
    assert second.startswith(field)


def test_a_link_that_names_another_gradient_is_found(scene: Scene) -> None:
    scene.do("UPDATE ledger.contributions SET gradient_id = 404 WHERE number = 5")
    assert scene.first_broken() == (5, [NOT_WHAT_IT_SAYS])


def test_another_hash_before_it_is_found(scene: Scene) -> None:
    scene.do("UPDATE ledger.contributions SET previous = sha256('x') WHERE number = 5")
    assert scene.first_broken() == (5, ["the hash it names as the one before is not that of link 4", NOT_WHAT_IT_SAYS])


def test_another_hash_is_found(scene: Scene) -> None:
    scene.do("UPDATE ledger.contributions SET hash = sha256('x') WHERE number = 5")
    assert scene.first_broken() == (5, [NOT_WHAT_IT_SAYS])


@pytest.mark.parametrize("change", ["name = 'other'", "seed = seed + 1"])
def test_a_run_of_another_name_or_seed_is_found(scene: Scene, change: str) -> None:
    scene.do(f"UPDATE ledger.runs SET {change}")
    run = "other" if "other" in change else "class"
    found = verify(scene.shop.owner, run=run).broken
    assert found == Broken(
        number=1, differs=["the hash it names as the one before is not that of the run's name and seed"]
    )


@pytest.mark.parametrize(("taken", "next_one"), [(1, 2), (5, 6), (8, 9)])
def test_a_link_that_was_taken_out_is_missed(scene: Scene, taken: int, next_one: int) -> None:
    scene.do(f"DELETE FROM ledger.contributions WHERE number = {taken}")
    assert scene.first_broken() == (taken, [f"it is missing, link {next_one} comes next"])


def test_a_gap_that_was_closed_is_found(scene: Scene) -> None:
    scene.do("DELETE FROM ledger.contributions WHERE number = 5")
    for number in range(6, 10):
        scene.do(f"UPDATE ledger.contributions SET number = {number - 1} WHERE number = {number}")
    assert scene.first_broken() == (5, ["the hash it names as the one before is not that of link 4", NOT_WHAT_IT_SAYS])


def test_two_links_that_changed_places_are_found(scene: Scene) -> None:
    for number, place in ((4, 100), (5, 4), (100, 5)):
        scene.do(f"UPDATE ledger.contributions SET number = {place} WHERE number = {number}")
    assert scene.first_broken() == (4, ["the hash it names as the one before is not that of link 3", NOT_WHAT_IT_SAYS])


def test_a_link_that_was_put_between_is_found(scene: Scene) -> None:
    make_room(scene, at=5)
    scene.do(
        "INSERT INTO ledger.contributions SELECT run_id, 5, 404, 404, 1, 'eve', 1, version, 1000000, weight, sha256,"
        " merged_at, hash, sha256('x') FROM ledger.contributions WHERE number = 4"
    )
    assert scene.first_broken() == (5, [NOT_WHAT_IT_SAYS])


def test_a_link_with_a_hash_of_its_own_that_was_put_between_breaks_the_next(scene: Scene) -> None:
    make_room(scene, at=5)
    scene.do(
        "INSERT INTO ledger.contributions SELECT run_id, 5, 404, 404, 1, 'eve', 1, version, 1000000, weight, sha256,"
        " merged_at, hash, sha256('x') FROM ledger.contributions WHERE number = 4"
    )
    with scene.shop.owner.begin() as conn:
        links = {one.number: one for one, _ in contributions.stream_links(conn, run=scene.shop.run, is_private=False)}
    scene.do(f"UPDATE ledger.contributions SET hash = '\\x{hash_of(links[5]).hex()}' WHERE number = 5")
    assert scene.first_broken() == (6, ["the hash it names as the one before is not that of link 5", NOT_WHAT_IT_SAYS])


def test_a_link_before_the_first_is_found(scene: Scene) -> None:
    scene.do(
        "INSERT INTO ledger.contributions SELECT run_id, 0, 404, 404, 1, 'eve', 1, version, 1000000, weight, sha256,"
        " merged_at, hash, sha256('x') FROM ledger.contributions WHERE number = 1"
    )
    number, differs = scene.first_broken()
    assert (number, differs[0]) == (0, "its number is 0, and it comes after the run's name and seed")


def make_room(scene: Scene, *, at: int) -> None:
    for number in range(9, at - 1, -1):
        scene.do(f"UPDATE ledger.contributions SET number = {number + 1} WHERE number = {number}")


def test_an_end_that_was_cut_off_leaves_gradients_without_links(scene: Scene) -> None:
    scene.do("DELETE FROM ledger.contributions WHERE number > 7")
    assert scene.first_broken() == (None, ["gradient 8 was merged into version 3 and has no link"])


def test_an_end_that_was_cut_off_everywhere_is_missed_by_whoever_wrote_the_head_down(scene: Scene) -> None:
    head = scene.head()
    scene.do(
        "DELETE FROM ledger.contributions WHERE version = 3",
        "DELETE FROM ledger.gradients WHERE merged_version = 3",
        "DELETE FROM ledger.aggregations WHERE version = 3",
    )
    assert scene.broken() is None
    assert scene.still_has(head, head[:16], scene.head()) == [None, None, 6]


def test_a_head_that_was_written_down_is_found_again_when_the_chain_has_grown(scene: Scene) -> None:
    head = scene.head()
    scene.do("ALTER TABLE ledger.contributions ENABLE TRIGGER USER")
    cleo = scene.shop.invite("cleo")
    cleo.work(3)
    assert scene.shop.turn().merged == 3
    assert scene.still_has(head, head[:16]) == [9, 9]
    assert scene.head() != head


def test_a_forged_chain_contradicts_the_gradients(scene: Scene) -> None:
    scene.do("UPDATE ledger.contributions SET num_samples = 1000000 WHERE number = 5")
    scene.forge_on()
    assert scene.first_broken() == (5, ["samples: the link says 1000000, gradient 5 has 4"])


def test_a_forged_chain_with_forged_gradients_contradicts_the_merges(scene: Scene) -> None:
    scene.do(
        "UPDATE ledger.contributions SET sha256 = sha256('x') WHERE number = 5",
        "UPDATE ledger.gradients SET sha256 = sha256('x') WHERE id = 5",
    )
    scene.forge_on()
    assert scene.first_broken() == (
        4,
        ["the checksums of version 2's links are not those that its merge was recorded with"],
    )


def test_a_ledger_that_was_forged_everywhere_is_whole_but_for_the_head_that_was_written_down(scene: Scene) -> None:
    head = scene.head()
    scene.do(
        "UPDATE ledger.contributions SET num_samples = 1000000 WHERE number = 5",
        "UPDATE ledger.gradients SET num_samples = 1000000 WHERE id = 5",
    )
    scene.forge_on()
    assert scene.broken() is None
    assert scene.still_has(head) == [None]


def test_gradients_that_were_changed_contradict_their_links(scene: Scene) -> None:
    scene.do("UPDATE ledger.gradients SET num_samples = 1000000 WHERE id = 5")
    assert scene.first_broken() == (5, ["samples: the link says 4, gradient 5 has 1000000"])


def test_a_gradient_that_is_not_merged_any_more_contradicts_its_link(scene: Scene) -> None:
    scene.do("UPDATE ledger.gradients SET state = 'rejected', merged_version = NULL WHERE id = 5")
    number, differs = scene.first_broken()
    assert (number, differs) == (
        5,
        ["state: the link says merged, gradient 5 has rejected", "version: the link says 2, gradient 5 has nothing"],
    )


def test_a_volunteer_who_was_given_anothers_name_is_seen(scene: Scene) -> None:
    scene.do("UPDATE ledger.volunteers SET name = 'eve' WHERE name = 'bob'")
    assert scene.first_broken() == (2, ["volunteer: the link says bob, gradient 2 has eve"])


def test_a_merge_that_was_recorded_with_other_gradients_is_seen(scene: Scene) -> None:
    scene.do("UPDATE ledger.aggregations SET gradient_ids = '{4,6,5}' WHERE version = 2")
    assert scene.first_broken() == (
        4,
        ["the links of version 2 name gradients 4, 5, 6, its merge was recorded with gradients 4, 6, 5"],
    )


def test_a_merge_whose_record_is_gone_between_others_is_missed(scene: Scene) -> None:
    scene.do("DELETE FROM ledger.aggregations WHERE version = 2")
    assert scene.first_broken() == (
        4,
        ["the links of version 2 name gradients 4, 5, 6, its merge was recorded with no gradient"],
    )


def test_records_that_were_pruned_from_the_old_end_are_not_missed(scene: Scene) -> None:
    scene.do(
        "DELETE FROM ledger.aggregations WHERE version = 1",
        "DELETE FROM ledger.gradients WHERE merged_version = 1",
    )
    assert scene.broken() is None
