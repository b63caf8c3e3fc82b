"""A real volunteer attacks a real run: what the ledger says of them, and that the others learn all the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.stage import Actor, Stage, open_stage
from tests.servers.databases import Database


@pytest.fixture
def stage(tmp_path: Path, database: Database) -> Iterator[Stage]:
    with open_stage(tmp_path, database) as stage:
        yield stage


def attacker(stage: Stage, attack: str, *options: str) -> Actor:
    return stage.start(
        "bob", "--attack", attack, *options, "--", "join", "--config", "invitations/bob.yaml",
        program="tests.attacks.worker",
    )  # fmt: skip


def test_a_nan_is_refused_with_a_reason_and_computed_again(stage: Stage) -> None:
    with stage.gate("runs", "UPDATE", "NEW.next_position > OLD.next_position") as gate:
        stage.leading()
        stage.worker("ada")
        attacker(stage, "nan")
        gate.wait_for()
        stage.wait_for(lambda: stage.value("SELECT count(*) = 2 FROM ledger.workers"), "both workers")
    stage.finish()
    of_bob = """
        SELECT count(*) FILTER (WHERE {}) FROM ledger.gradients g JOIN ledger.workers w ON w.id = g.worker_id
          JOIN ledger.volunteers v ON v.id = w.volunteer_id WHERE v.name = 'bob'"""
    assert stage.value(of_bob.format("g.state = 'rejected' AND g.verdict = 'not finite: model'")) > 0
    assert stage.value(of_bob.format("g.state = 'rejected' AND g.verdict <> 'not finite: model'")) == 0
    assert stage.value("SELECT bool_and(value < 10) FROM ledger.metrics WHERE name = 'loss'")
