"""Versions as deltas, from the coordinator's merge through the ledger into a worker's memory."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import text

from contract.deltas import DeltaForm
from contract.errors import BlobError
from contract.ids import Version
from coordinator.duties.keyframe import Keyframe
from coordinator.duties.prune import Prune
from coordinator.duties.remember import Remember
from coordinator.ledger import versions
from coordinator.living_run import LivingRun, open_run
from coordinator.weights import read_weights
from tests.integration.workshop import Person, Workshop, open_workshop
from tests.servers.databases import Database
from worker import ledger
from worker.cache import VersionCache
from worker.following import Follower
from worker.ledger import Leg

INTERVAL = 3


@pytest.fixture
def shop(database: Database) -> Iterator[Workshop]:
    training = {"mode": "async", "num_workunits_per_update": 1, "num_epochs": 2}
    # Large enough for its numbers to outweigh the headers.
    model = {"name": "mlp", "options": {"image_size": 8, "hidden_features": 64}}
    compression = {"downlink": "fp16"}
    with open_workshop(database, {"model": model, "training": training, "compression": compression}) as made:
        yield made


@pytest.fixture
def ada(shop: Workshop) -> Person:
    person = shop.invite("ada")
    shop.turn()
    return person


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """What Ada may ask of the ledger, and what she asked."""

    ada: Person
    fetched: list[tuple[str, int]] = dataclasses.field(default_factory=list)

    def way(self, version: Version, *, have: Version | None) -> Sequence[Leg]:
        with self.ada.engine.begin() as conn:
            return ledger.fetch_manifest(conn, worker=self.ada.joined.worker, version=version, have=have)

    def part(self, leg: Leg, number: int) -> bytes | None:
        self.fetched.append((leg.kind, leg.version))
        with self.ada.engine.begin() as conn:
            return ledger.fetch_part(
                conn, worker=self.ada.joined.worker, version=leg.version, part=number, kind=leg.kind
            )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Ada's process, as far as it has weights."""

    shelf: Shelf
    follower: Follower

    def read(self, version: int) -> bytes | None:
        """A copy, as a model makes it."""
        blob = self.follower.weights(Version(version), self.shelf)
        self.follower.returned()
        return None if blob is None else bytes(blob)

    def asked_for(self) -> list[tuple[str, int]]:
        asked = self.shelf.fetched[:]
        self.shelf.fetched.clear()
        return asked


def deltas_of(shop: Workshop) -> DeltaForm:
    assert shop.living.how.deltas is not None
    return shop.living.how.deltas


def reader(shop: Workshop, person: Person, folder: Path) -> Reader:
    manifest = shop.living.how.vectors.manifest
    follower = Follower(VersionCache(folder), manifest, deltas_of(shop), stop=threading.Event())
    return Reader(shelf=Shelf(ada=person), follower=follower)


def publish(shop: Workshop, person: Person, up_to: int) -> dict[int, bytes]:
    """The weights of each new version, as the coordinator has them."""
    published = {}
    while shop.living.head < up_to:
        person.submit(person.claim(), value=0.01 * (shop.living.head % 5 - 1.7))
        assert shop.turn().version == shop.living.head
        published[shop.living.head] = bytes(shop.living.state.weights_blob)
    return published


def keyframe(shop: Workshop) -> Keyframe:
    return Keyframe(engine=shop.owner, living=shop.living, leadership=shop.merge.leadership, interval=INTERVAL)


def remember(shop: Workshop) -> None:
    duty = Remember(engine=shop.owner, living=shop.living, leadership=shop.merge.leadership, longest_seconds=0)
    assert duty.run_once().version == shop.living.head


def prune(shop: Workshop, *, keep_versions: int = 2, keep_deltas: int = 0) -> None:
    Prune(
        engine=shop.owner, living=shop.living, keep_versions=keep_versions, keep_gradient_blobs=0,
        keep_deltas=keep_deltas,
    ).run_once()  # fmt: skip


def kept(shop: Workshop) -> list[int]:
    with shop.owner.begin() as conn:
        return [int(version) for version in versions.kept_versions(conn, run=shop.run)]


def parts(shop: Workshop) -> list[tuple[object, ...]]:
    return shop.rows(
        "SELECT kind, version FROM ledger.model_parts WHERE kind IN ('weights', 'delta') ORDER BY kind DESC, version"
    )


def in_ledger(shop: Workshop, version: int) -> bytearray | None:
    with shop.owner.begin() as conn:
        return read_weights(
            conn, run=shop.run, version=Version(version), how=shop.living.how,
        )  # fmt: skip


def restarted(shop: Workshop) -> LivingRun:
    with shop.owner.begin() as conn:
        return open_run(conn, name="class")


def is_same(one: LivingRun, other: LivingRun) -> bool:
    return (one.head, one.state.weights_blob, one.state.optimizer_blob) == (
        other.head, other.state.weights_blob, other.state.optimizer_blob,
    )  # fmt: skip


def test_who_follows_fetches_deltas_and_has_the_coordinators_weights(
    shop: Workshop, ada: Person, tmp_path: Path
) -> None:
    adas = reader(shop, ada, tmp_path)
    assert adas.read(0) == bytes(shop.living.state.weights_blob)
    assert adas.asked_for() == [("weights", 0)]
    for version in range(1, 6):
        published = publish(shop, ada, version)
        assert adas.read(version) == published[version]
        assert adas.asked_for() == [("delta", version)]


def test_who_slept_takes_what_has_fewer_bytes(shop: Workshop, ada: Person, tmp_path: Path) -> None:
    slept, slept_longer, woken = (reader(shop, ada, tmp_path / name) for name in ("bob", "eve", "dan"))
    slept_longer.read(0)
    published = publish(shop, ada, 1)
    slept.read(1)
    slept.asked_for(), slept_longer.asked_for()
    published |= publish(shop, ada, 3)
    assert keyframe(shop).run_once().version == 3
    published |= publish(shop, ada, 4)
    # A delta has half the bytes of weights, and a header more for each frame.
    assert slept.read(4) == published[4]
    assert slept.asked_for() == [("weights", 3), ("delta", 4)]
    assert slept_longer.read(4) == published[4]
    assert slept_longer.asked_for() == [("weights", 3), ("delta", 4)]
    assert woken.read(4) == published[4]
    assert woken.asked_for() == [("weights", 3), ("delta", 4)]


def test_deltas_lead_past_a_keyframe_that_is_larger(shop: Workshop, ada: Person, tmp_path: Path) -> None:
    adas = reader(shop, ada, tmp_path)
    published = publish(shop, ada, 2)
    adas.read(2)
    adas.asked_for()
    published |= publish(shop, ada, 3)
    keyframe(shop).run_once()
    published |= publish(shop, ada, 4)
    assert adas.read(4) == published[4]
    assert adas.asked_for() == [("delta", 3), ("delta", 4)]


def test_a_newcomer_at_a_keyframe_needs_nothing_else(shop: Workshop, ada: Person, tmp_path: Path) -> None:
    published = publish(shop, ada, 3)
    keyframe(shop).run_once()
    adas = reader(shop, ada, tmp_path)
    assert adas.read(3) == published[3]
    assert adas.asked_for() == [("weights", 3)]


def test_a_version_before_the_one_held_can_be_had(shop: Workshop, ada: Person, tmp_path: Path) -> None:
    adas = reader(shop, ada, tmp_path)
    published = publish(shop, ada, 2)
    assert (adas.read(2), adas.read(1)) == (published[2], published[1])


def test_what_is_on_disk_after_a_restart_is_not_fetched_again(shop: Workshop, ada: Person, tmp_path: Path) -> None:
    published = publish(shop, ada, 2)
    reader(shop, ada, tmp_path).read(2)
    published |= publish(shop, ada, 3)
    again = reader(shop, ada, tmp_path)
    assert again.read(3) == published[3]
    assert again.asked_for() == [("delta", 3)]


def test_a_version_that_is_not_there_has_no_way(shop: Workshop, ada: Person, tmp_path: Path) -> None:
    publish(shop, ada, 1)
    assert reader(shop, ada, tmp_path).read(2) is None
    shop.rows("DELETE FROM ledger.model_parts WHERE kind = 'delta' RETURNING version")
    assert reader(shop, ada, tmp_path).read(1) is None


def test_pruned_between_the_question_and_the_download(shop: Workshop, ada: Person, tmp_path: Path) -> None:
    adas = reader(shop, ada, tmp_path)
    published = publish(shop, ada, 3)
    adas.read(1)
    keyframe(shop).run_once()
    publish(shop, ada, 6)
    keyframe(shop).run_once()
    published |= publish(shop, ada, 8)
    remember(shop)

    @dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
    class Slow(Shelf):
        def part(self, leg: Leg, number: int) -> bytes | None:
            prune(shop)
            return Shelf.part(self, leg, number)

    assert adas.follower.weights(Version(3), Slow(ada=ada)) is None
    assert adas.read(8) == published[8]


def test_weights_that_went_wrong_in_memory_are_fetched_whole(shop: Workshop, ada: Person, tmp_path: Path) -> None:
    adas = reader(shop, ada, tmp_path)
    blob = adas.follower.weights(Version(0), adas.shelf)
    adas.follower.returned()
    assert blob is not None
    blob[-1] ^= 1
    published = publish(shop, ada, 1)
    adas.asked_for()
    assert adas.read(1) == published[1]
    assert adas.asked_for() == [("delta", 1), ("delta", 1)], "the whole version was on disk"


def test_deltas_that_lead_elsewhere_are_an_error_that_says_so(shop: Workshop, ada: Person, tmp_path: Path) -> None:
    publish(shop, ada, 1)
    shop.rows("""
        UPDATE ledger.model_parts SET content = set_byte(content, length(content) - 1, 7),
               sha256 = sha256(set_byte(content, length(content) - 1, 7))
         WHERE kind = 'delta' RETURNING version""")
    with pytest.raises(BlobError, match="the deltas lead to other weights than version 1 has"):
        reader(shop, ada, tmp_path).read(1)
    with pytest.raises(BlobError, match="weights of version 1 are not what was published"):
        in_ledger(shop, 1)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("UPDATE ledger.model_versions SET delta_bytes = 1000000000000 WHERE number = 1", "that model and codec imply"),
        ("UPDATE ledger.model_versions SET delta_codec = 'bf16' WHERE number = 1", "a delta that nobody announced"),
        ("UPDATE ledger.model_parts SET sha256 = sha256('') WHERE kind = 'delta'", "part 0 of version 1 is damaged"),
    ],
)
def test_what_a_worker_is_sent_is_checked(
    shop: Workshop, ada: Person, tmp_path: Path, change: str, problem: str
) -> None:
    publish(shop, ada, 1)
    shop.rows(f"{change} RETURNING 1")
    with pytest.raises(BlobError, match=problem):
        reader(shop, ada, tmp_path).read(1)


def test_weights_that_are_being_read_do_not_move(shop: Workshop, ada: Person, tmp_path: Path) -> None:
    adas = reader(shop, ada, tmp_path)
    lent = adas.follower.weights(Version(0), adas.shelf)
    assert lent is not None
    first = bytes(lent)
    published = publish(shop, ada, 1)
    arrived = threading.Event()

    @dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
    class Told(Shelf):
        def part(self, leg: Leg, number: int) -> bytes | None:
            content = Shelf.part(self, leg, number)
            arrived.set()
            return content

    ahead = threading.Thread(target=adas.follower.weights, args=(Version(1), Told(ada=ada)))
    ahead.start()
    assert arrived.wait(10)
    ahead.join(timeout=0.1)
    assert ahead.is_alive()
    assert bytes(lent) == first
    adas.follower.returned()
    ahead.join(timeout=10)
    assert bytes(lent) == published[1]


def test_a_keyframe_is_written_when_it_is_due_and_at_the_end(shop: Workshop, ada: Person) -> None:
    written = []
    while not shop.living.pool.is_empty:
        publish(shop, ada, shop.living.head + 1)
        written.append(keyframe(shop).run_once().version)
    publish(shop, ada, shop.living.head + 1)
    last = keyframe(shop).run_once().version
    assert written[:7] == [None, None, 3, None, None, 6, None]
    assert last == shop.living.head
    assert [row[0] for row in shop.rows("SELECT number FROM ledger.model_versions WHERE is_keyframe ORDER BY 1")] == [
        0, *(version for version in written if version is not None), last,
    ]  # fmt: skip


def test_whatever_is_kept_can_be_had(shop: Workshop, ada: Person, tmp_path: Path) -> None:
    published = {}
    for version in range(1, 9):
        published |= publish(shop, ada, version)
        keyframe(shop).run_once()
        if version in (4, 7):
            remember(shop)
        prune(shop)
        assert {version - 1, version} <= set(kept(shop))
        for there in set(kept(shop)) - {0}:
            assert in_ledger(shop, there) == published[there]
            assert reader(shop, ada, tmp_path / f"{version}.{there}").read(there) == published[there]
        assert is_same(restarted(shop), shop.living)
    assert parts(shop) == [("weights", 6), ("delta", 7), ("delta", 8)]


def test_deltas_stay_for_those_who_follow(shop: Workshop, ada: Person, tmp_path: Path) -> None:
    adas = reader(shop, ada, tmp_path)
    publish(shop, ada, 5)
    adas.read(5)
    publish(shop, ada, 6)
    keyframe(shop).run_once()
    published = publish(shop, ada, 7)
    remember(shop)
    prune(shop, keep_deltas=2)
    adas.asked_for()
    assert adas.read(7) == published[7]
    assert adas.asked_for() == [("delta", 6), ("delta", 7)]


def test_a_keeper_keeps_the_way_to_it(shop: Workshop, ada: Person) -> None:
    published = publish(shop, ada, 6)
    keyframe(shop).run_once()
    shop.rows("UPDATE ledger.model_versions SET is_keeper = true WHERE number = 2 RETURNING number")
    published |= publish(shop, ada, 8)
    remember(shop)
    prune(shop)
    assert kept(shop) == [0, 1, 2, 6, 7, 8]
    assert in_ledger(shop, 2) == published[2]
    assert in_ledger(shop, 5) is None


def test_a_restart_changes_no_bit(shop: Workshop, ada: Person) -> None:
    publish(shop, ada, 4)
    assert is_same(restarted(shop), shop.living), "all of it merged again"
    remember(shop)
    publish(shop, ada, 6)
    assert is_same(restarted(shop), shop.living)
    assert any(tensor.any() for name, tensor in shop.living.state.moments.items() if name.startswith("left_out/"))


def test_published_weights_count_where_a_replay_adds_up_otherwise(shop: Workshop, ada: Person) -> None:
    publish(shop, ada, 1)
    with shop.owner.begin() as conn:
        # As if the moments had been formed on another machine.
        found = list(versions.read_parts(conn, run=shop.run, version=Version(0), kind="optimizer"))
        conn.execute(
            text("UPDATE ledger.model_parts SET content = :content WHERE version = 0 AND kind = 'optimizer'"),
            {"content": found[0][:-4] + b"\x00\x00\x80\x3f"},
        )
    again = restarted(shop)
    assert again.state.weights_blob == shop.living.state.weights_blob
    assert again.state.optimizer_blob != shop.living.state.optimizer_blob


def test_the_ledger_counts_the_bytes_of_each_version(shop: Workshop, ada: Person) -> None:
    publish(shop, ada, 3)
    keyframe(shop).run_once()
    whole, delta = shop.living.how.vectors.manifest.blob_bytes, deltas_of(shop).num_bytes
    assert shop.rows("""
        SELECT number, num_bytes, is_keyframe, delta_codec, delta_bytes,
               (SELECT sum(octet_length(content)) FROM ledger.model_parts p
                 WHERE p.version = number AND p.kind = 'delta')
          FROM ledger.model_versions ORDER BY number""") == [
        (0, whole, True, None, None, None),
        (1, whole, False, "fp16", delta, delta),
        (2, whole, False, "fp16", delta, delta),
        (3, whole, True, "fp16", delta, delta),
    ]
    assert delta < whole
