"""What the views say of each worker: how much of theirs was used, and how many bytes it took."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from sqlalchemy import text

from contract.compressors import CODECS, encoded
from tests.integration.classroom import GRADIENT, classroom, submission
from tests.integration.desk import Desk, desk
from tests.integration.workshop import Workshop, open_workshop
from tests.servers.databases import Database
from worker import ledger

__all__ = ["classroom", "desk"]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def shop(database: Database) -> Iterator[Workshop]:
    changes = {
        "training": {"mode": "async", "num_workunits_per_update": 1},
        "staleness": {"min_staleness": 1, "max_staleness": 1},
    }
    with open_workshop(database, changes) as made:
        yield made


def test_a_part_sent_twice_counts_twice_among_the_bytes_sent(desk: Desk) -> None:
    with desk.alice.begin() as conn:
        ledger.upload_part(conn, lease=desk.lease, part=0, content=b"a longer draft")
        ledger.upload_part(conn, lease=desk.lease, part=0, content=GRADIENT)
        ledger.submit(conn, lease=desk.lease, submission=submission(), last_part=GRADIENT)
        counted = conn.execute(text("SELECT coded_bytes, sent_bytes FROM watch.gradients")).one()
    assert tuple(counted) == (len(GRADIENT), 14 + 2 * len(GRADIENT))


def test_what_was_never_complete_was_sent_all_the_same(desk: Desk) -> None:
    with desk.alice.begin() as conn:
        ledger.upload_part(conn, lease=desk.lease, part=0, content=GRADIENT)
        counted = conn.execute(text("SELECT num_gradients, raw_bytes, coded_bytes, sent_bytes FROM watch.bytes")).one()
    assert tuple(counted) == (0, 0, 0, len(GRADIENT))


def test_raw_coded_and_sent_are_told_apart(shop: Workshop) -> None:
    ada = shop.invite("ada")
    shop.turn()
    manifest = shop.living.how.vectors.manifest
    half = len(encoded(CODECS.build("fp16"), {spec.name: torch.zeros(spec.shape) for spec in manifest.tensors}, seed=0))
    ada.submit(ada.claim(), codec=CODECS.build("fp16"))
    assert half < manifest.blob_bytes
    assert shop.rows("SELECT raw_bytes, coded_bytes, sent_bytes FROM watch.gradients") == [
        (manifest.blob_bytes, half, half)
    ]
    assert shop.rows("SELECT run, volunteer, num_gradients, raw_bytes, coded_bytes, sent_bytes FROM watch.bytes") == [
        ("class", "ada", 1, manifest.blob_bytes, half, half)
    ]


def test_the_query_of_the_page_can_be_asked_by_a_volunteer(desk: Desk) -> None:
    page = (ROOT / "docs/explanation/bytes.md").read_text("utf-8")
    (query,) = re.findall(r"```sql\n(.*?)```", page, re.S)
    with desk.alice.begin() as conn:
        ledger.submit(conn, lease=desk.lease, submission=submission(), last_part=GRADIENT)
        (row,) = conn.execute(text(query.replace("'default'", "'class'"))).mappings()
    assert (row["volunteer"], row["num_gradients"], float(row["sent_mb"])) == ("alice", 1, len(GRADIENT) / 1e6)


def test_acceptance_and_staleness_are_told_by_worker(shop: Workshop) -> None:
    ada, bob, eve = shop.invite("ada"), shop.invite("bob"), shop.invite("eve")
    shop.turn()
    slow, slower = bob.claim(), bob.claim()
    ada.work()
    shop.turn()
    bob.submit(slow)
    shop.turn()
    eve.submit(eve.claim(), value=float("nan"))
    shop.turn()
    bob.submit(slower)
    shop.turn()
    ada.work()
    told = """
        SELECT volunteer, num_submitted, num_merged, num_stale, num_refused, num_late, share_accepted, mean_staleness,
               num_samples_merged FROM watch.acceptance ORDER BY volunteer"""
    assert shop.rows(told) == [
        # What still waits counts as neither.
        ("ada", 2, 1, 0, 0, 0, 1.0, 0.0, 4),
        ("bob", 2, 1, 1, 0, 0, 0.5, 1.0, 4),
        ("eve", 1, 0, 0, 1, 0, 0.0, None, 0),
    ]


def test_who_comes_after_a_round_was_late(database: Database) -> None:
    with open_workshop(database, {"training": {"num_workunits_per_update": 2, "spare_units": 1}}) as shop:
        ada, bob = shop.invite("ada"), shop.invite("bob")
        shop.turn()
        late = bob.claim()
        ada.work(2)
        bob.submit(late)
        shop.turn()
        shop.turn()
        columns = "volunteer, num_merged, num_late, share_accepted"
        assert shop.rows(f"SELECT {columns} FROM watch.acceptance ORDER BY volunteer") == [
            ("ada", 2, 0, 1.0),
            ("bob", 0, 1, 0.0),
        ]
