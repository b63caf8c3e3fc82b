"""A worker that follows a run, as far as it has weights: where the tests of deltas and keyframes begin."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from contract.deltas import DeltaForm
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


CHANGES: Mapping[str, Mapping[str, object]] = {
    # Large enough for its numbers to outweigh the headers.
    "model": {"name": "mlp", "options": {"image_size": 8, "hidden_features": 64}},
    "training": {"mode": "async", "num_workunits_per_update": 1, "num_epochs": 2},
    "compression": {"downlink": "fp16"},
}


@pytest.fixture
def shop(database: Database) -> Iterator[Workshop]:
    with open_workshop(database, CHANGES) as made:
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
    received: list[int]

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
    received: list[int] = []
    follower = Follower(
        VersionCache(folder), manifest, deltas_of(shop), stop=threading.Event(),
        fetched=lambda _version, num_bytes: received.append(num_bytes),
    )  # fmt: skip
    return Reader(shelf=Shelf(ada=person), follower=follower, received=received)


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
