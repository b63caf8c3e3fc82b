"""What of the versions stays in the ledger: whole ones, deltas, and what a restart or a fork makes of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from sqlalchemy import text

from contract.errors import LeadershipLost
from contract.ids import Version
from coordinator.forking import Origin, fork
from coordinator.ledger import versions
from coordinator.living_run import open_run
from coordinator.new_run import new_run
from tests.integration.follower import (
    CHANGES,
    ada,
    deltas_of,
    in_ledger,
    is_same,
    kept,
    keyframe,
    parts,
    prune,
    publish,
    reader,
    remember,
    restarted,
    shop,
)
from tests.integration.workshop import Person, Workshop, config_of

__all__ = ["ada", "shop"]


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


@pytest.mark.parametrize("downlink", ["fp16", "two_bit", "none"])
def test_a_fork_begins_with_the_weights_that_deltas_led_to(shop: Workshop, ada: Person, downlink: str) -> None:
    published = publish(shop, ada, 2)
    new = new_run(config_of({**CHANGES, "compression": {"downlink": downlink}}), config_file=None)
    forked = fork(shop.owner, dataclasses.replace(new, name="child"), Origin.parse("class@2"))
    assert forked.keeps_optimizer
    with shop.owner.begin() as conn:
        child = open_run(conn, name="child")
    assert child.state.weights_blob == published[2]
    of_parent = shop.living.state.moments
    assert all(torch.equal(tensor, of_parent[name]) for name, tensor in child.state.moments.items())
    assert (child.how.deltas is None) == (downlink == "none")


def test_a_keyframe_that_another_coordinator_wrote_is_found_again(shop: Workshop, ada: Person) -> None:
    publish(shop, ada, 3)
    before = shop.living.keyframe
    assert keyframe(shop).run_once().version == 3
    # As if the answer to the commit had been lost.
    shop.living.keyframe = before
    with pytest.raises(LeadershipLost):
        keyframe(shop).run_once()
    publish(shop, ada, 4)
    assert shop.living.keyframe == 3


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
