"""Versions as deltas, from the coordinator's merge through the ledger into a worker's memory."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest

from contract.errors import BlobError
from contract.ids import Version
from tests.integration.follower import (
    Shelf,
    ada,
    deltas_of,
    in_ledger,
    keyframe,
    prune,
    publish,
    reader,
    remember,
    shop,
)
from tests.integration.workshop import Person, Workshop
from worker.ledger import Leg

__all__ = ["ada", "shop"]


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
    assert adas.received == [shop.living.how.vectors.manifest.blob_bytes] + 5 * [deltas_of(shop).num_bytes]


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
