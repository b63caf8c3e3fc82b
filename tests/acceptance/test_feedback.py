"""Error feedback with real processes: what a codec left out outlives the process that left it out."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.acceptance.one_process import of_local_training
from tests.acceptance.stage import TINY, open_stage
from tests.servers.databases import Database


def test_a_worker_that_comes_again_goes_on_to_the_same_bits(tmp_path: Path, database: Database) -> None:
    alone, forgetful = of_local_training("fp16"), of_local_training("fp16", feedback_decay=0.0)
    assert alone != forgetful, "the memory changes something"
    with open_stage(tmp_path, database, {**TINY, "compression": {"codec": "fp16"}}) as stage:
        stage.leading()
        # It stands before she comes: a run of a few milliseconds an update would be past it.
        with stage.gate("model_versions", "INSERT", "NEW.number = 6") as gate:
            ada = stage.worker("ada")
            gate.wait_for()
            ada.process.send_signal(signal.SIGTERM)
            stage.wait_for(lambda: ada.process.poll() is not None, "ada's leaving")
            stage.worker("ada")
            joined = "SELECT count(*) = 2 FROM ledger.workers"
            stage.wait_for(lambda: stage.value(joined), "ada's second coming")
            gate.open()
        stage.finish()
        last = "SELECT sha256 FROM ledger.model_versions ORDER BY number DESC LIMIT 1"
        assert bytes(stage.value(last)) == alone
        assert "not remembered" not in "".join(actor.said() for actor in stage.actors)


def test_workers_that_pick_their_codec_train_to_the_end(tmp_path: Path, database: Database) -> None:
    with open_stage(tmp_path, database, {**TINY, "compression": {"codec": "auto"}}) as stage:
        stage.assemble()
        stage.finish()
        ladder = (
            "SELECT array_agg(rung ->> 'name') FROM ledger.runs, jsonb_array_elements(training -> 'codec_ladder') rung"
        )
        codecs = stage.value("SELECT array_agg(DISTINCT codec) FROM ledger.gradients WHERE state = 'merged'")
        assert set(codecs) <= set(stage.value(ladder))
        # On a busy computer one of them may come when all is done.
        assert "in codec int8" in "".join(actor.said() for actor in stage.actors)
