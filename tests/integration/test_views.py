"""Every view of schema watch has a typed reader, which an observer and a volunteer can call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import pytest
from sqlalchemy import Connection, Engine

from contract.ids import Version
from coordinator.ledger import views
from coordinator.ledger.events import newest_told
from tests.integration.observers import observer
from tests.integration.workshop import Workshop, open_workshop
from tests.servers.databases import Database

__all__ = ["observer"]

READERS: Final[Mapping[str, Callable[[Connection], Any]]] = {
    "acceptance": lambda conn: views.acceptance(conn, run="class"),
    "bytes": lambda conn: views.sent_bytes(conn, run="class"),
    "coordinators": lambda conn: [views.leading(conn, run="class")],
    "database_health": views.database_health,
    "epochs": lambda conn: views.epochs(conn, run="class"),
    "events": lambda conn: newest_told(conn, run="class", limit=10),
    "gradients": lambda conn: views.newest_gradients(conn, run="class"),
    "leaderboard": lambda conn: views.leaderboard(conn, run="class"),
    "losses": lambda conn: views.losses(conn, run="class"),
    "progress": lambda conn: views.progress(conn, run="class"),
    "throughput": lambda conn: views.throughput(conn, run="class"),
    "timings": lambda conn: views.timings(conn, run="class"),
    "units": lambda conn: views.newest_units(conn, run="class"),
    "versions": lambda conn: views.newest_versions(conn, run="class"),
    "workers": lambda conn: views.seen_workers(conn, run="class"),
}
EMPTY_HERE: Final[Mapping[str, Callable[[Connection], Any]]] = {
    "my_contribution": lambda conn: views.my_contribution(conn, run="elsewhere"),
    "pushes": lambda conn: views.seen_pushes(conn, run="class"),
    "samples": lambda conn: views.seen_samples(conn, run="class"),
    "a sample": lambda conn: views.sample_content(conn, run="class", version=Version(1)),
    "stalled_units": lambda conn: views.stalled_units(conn, run="class"),
    "suspects": lambda conn: views.suspects(conn, run="class"),
}


@pytest.fixture
def shop(database: Database) -> Iterator[Workshop]:
    with open_workshop(database, {"training": {"mode": "async", "num_workunits_per_update": 1}}) as made:
        ada = made.invite("ada")
        made.turn()
        ada.work()
        made.turn()
        yield made


@pytest.mark.parametrize("view", READERS)
def test_an_observer_reads_what_there_is(shop: Workshop, observer: Engine, view: str) -> None:
    with observer.begin() as conn:
        assert READERS[view](conn)


@pytest.mark.parametrize("view", EMPTY_HERE)
def test_what_there_is_not_is_empty(shop: Workshop, observer: Engine, view: str) -> None:
    with observer.begin() as conn:
        assert not EMPTY_HERE[view](conn)
