"""The benchmarks run, in their shortest form; what they say on a busy machine is another matter."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import aggregation, attacks, blobs, chain, codecs, efficiency, learning, queue, space, watching
from contract.compressors import CODECS
from tests.servers.databases import Database
from tests.servers.server import connect

pytestmark = pytest.mark.own_server


def test_the_queue_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    queue.main(["--quick", "--only", "depth"])

    assert "a claim among 20,000 open units" in capsys.readouterr().out


def test_blobs_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    blobs.main(["--quick", "--pairs", "1"])

    assert "download 4 MB" in capsys.readouterr().out


def test_space_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    space.main(["--rounds", "2", "--gradients", "2", "--kilobytes", "64"])

    assert "2 rounds of 2 x 64 kB" in capsys.readouterr().out


def test_looking_is_measured(capsys: pytest.CaptureFixture[str], database: Database) -> None:
    watching.main(["--units", "10000", "--workers", "100", "--repeats", "1"])

    table = capsys.readouterr().out
    with connect(database.url()) as conn:
        views = conn.execute("SELECT viewname FROM pg_views WHERE schemaname = 'watch'").fetchall()
    assert all(f"| watch.{view} " in table for (view,) in views)


def test_the_chain_of_contributions_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    chain.main(["--links", "64", "--merges", "2", "--gradients", "4"])

    assert "ledger verify of 64 links" in capsys.readouterr().out


def test_aggregation_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    aggregation.main(["--quick", "--repeats", "1", "--only", "mean", "median", "nnm, trimmed_mean"])

    table = capsys.readouterr().out
    assert "| nnm, trimmed_mean " in table
    assert "| median, 16 gradients of 100,000 values " in table


def test_codecs_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    codecs.main(["--quick", "--repeats", "1"])

    table = capsys.readouterr().out
    assert all(f"| {name} " in table for name in CODECS.names)


def test_learning_is_measured(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    kept = str(tmp_path / "kept.json")
    learning.main(["--quick", "--only", "mlp", "--settings", "dense;fp16", "--keep", kept])
    capsys.readouterr()
    learning.main(["--quick", "--only", "mlp", "--settings", "async, equal workers", "--keep", kept])

    table = capsys.readouterr().out
    assert "| fp16 " in table
    assert "| async, equal workers " in table


@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_the_efficiency_of_training_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    efficiency.main(["--quick", "--only", "small_transformer", "--workers", "1", "--modes", "async"])

    assert "small_transformer, 1 worker, async, downlink two_bit, used units" in capsys.readouterr().out


def test_attacks_are_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attacks, "NUM_SAMPLES", 1 << 12)
    few = ["--rules", "nnm+krum", "robust", "--attacks", "nan", "scaled 1e30", "--seeds", "1"]
    results = tmp_path / "results.jsonl"
    for _ in range(2):
        attacks.main([*few, "--results", str(results)])
        said = capsys.readouterr().out
        assert "| robust " in said
        assert "| nnm+krum " in said
    # Nothing is trained twice: the plain mean, and each rule without an attack and with two.
    assert len(results.read_text("utf-8").splitlines()) == 7
