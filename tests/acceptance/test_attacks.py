"""A real volunteer attacks a real run: what the ledger says of them, and that the others learn all the same."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.acceptance.stage import RUN, TINY, Actor, Stage, open_stage
from tests.servers.databases import Database

NUM_UPDATES = 12
NUM_GRADIENTS, NUM_BYZANTINE = 7, 2
BATCH_SIZE = 16
ROBUST: Mapping[str, Mapping[str, object]] = {
    **TINY,
    "data": {"name": "glyphs", "num_samples": NUM_UPDATES * NUM_GRADIENTS * BATCH_SIZE},
    "training": {
        **TINY["training"],
        "batch_size": BATCH_SIZE,
        "batches_per_work_unit": 1,
        "num_workunits_per_update": NUM_GRADIENTS,
        "learning_rate_g": 0.01,
    },
    "aggregation": {"rule": "robust", "num_byzantine": NUM_BYZANTINE},
    "coordinator": {"keep_gradient_blobs": 2 * NUM_UPDATES},
}
COMPUTED = re.compile(r"^(forged|honest).*: epoch (\d+), sample (\d+)$", re.MULTILINE)
SHARE = """
    SELECT g.weight FROM ledger.gradients g JOIN ledger.work_units u ON u.id = g.unit_id
      JOIN ledger.workers w ON w.id = g.worker_id JOIN ledger.volunteers v ON v.id = w.volunteer_id
     WHERE v.name = 'bob' AND g.state = 'merged' AND u.epoch = :epoch AND u.first_sample = :sample"""


def attacker(stage: Stage, *options: str) -> Actor:
    return stage.start(
        "bob", *options, "--", "join", "--config", "invitations/bob.yaml", program="tests.attacks.worker"
    )


@contextlib.contextmanager
def assembled(stage: Stage, *options: str) -> Iterator[Actor]:
    """No unit is handed out before both are there."""
    with stage.gate("runs", "UPDATE", "NEW.next_position > OLD.next_position") as gate:
        stage.leading()
        stage.worker("ada")
        bob = attacker(stage, *options)
        gate.wait_for()
        stage.wait_for(lambda: stage.value("SELECT count(*) = 2 FROM ledger.workers"), "both workers")
    yield bob


def test_a_nan_is_refused_with_a_reason_and_computed_again(tmp_path: Path, database: Database) -> None:
    with open_stage(tmp_path, database) as stage:
        with assembled(stage, "--attack", "nan"):
            stage.finish()
        of_bob = """
            SELECT count(*) FILTER (WHERE {}) FROM ledger.gradients g JOIN ledger.workers w ON w.id = g.worker_id
              JOIN ledger.volunteers v ON v.id = w.volunteer_id WHERE v.name = 'bob'"""
        assert stage.value(of_bob.format("g.state = 'rejected' AND g.verdict = 'not finite: model'")) > 0
        assert stage.value(of_bob.format("g.state = 'rejected' AND g.verdict <> 'not finite: model'")) == 0


def test_a_robust_rule_gives_an_attacker_next_to_no_share_and_the_others_learn(
    tmp_path: Path, database: Database
) -> None:
    options = ("--attack", "inner_product", "--per-version", str(NUM_BYZANTINE))
    with open_stage(tmp_path, database, ROBUST) as stage:
        with assembled(stage, *options) as bob:
            stage.finish(num_updates=NUM_UPDATES)
        # What was forged for a round that closed without it may come back to bob, who is honest the second time.
        last = {(epoch, sample): how for how, epoch, sample in COMPUTED.findall(bob.said())}
        forged = [unit for unit, how in last.items() if how == "forged"]
        shares = [stage.value(SHARE, epoch=int(epoch), sample=int(sample)) for epoch, sample in forged]
        assert any(share is not None for share in shares)
        # An equal share is a seventh, and what is left of theirs came in with the neighbours of others.
        assert [share for share in shares if share is not None and share > 0.05] == []
        loss = "SELECT avg(value) FROM ledger.metrics WHERE name = 'loss' AND version BETWEEN :first AND :first + 1"
        assert stage.value(loss, first=NUM_UPDATES - 1) < 0.9 * stage.value(loss, first=1)
        assert stage.value("SELECT training ->> 'rule' FROM ledger.runs WHERE name = :run") != "robust"

        again = stage.project.run("replay", "--version", str(NUM_UPDATES))
        assert (again.code, again.out.count("as recorded")) == (0, 2), again.out + again.err
        asked = stage.project.run("whatif", "--version", "3", "--rule", "mean", "--json", "--run", RUN)
        assert len(json.loads(asked.out)["gradients"]) == NUM_GRADIENTS, asked.err
        shown = stage.project.run("whatif", "--version", "3", "--rule", "krum")
        assert "without a share by krum: " in shown.out, shown.err
