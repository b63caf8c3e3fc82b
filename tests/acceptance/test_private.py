"""A private run with real processes: it ends before its budget is passed, whoever was killed on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator.privacy import Privacy
from tests.acceptance.stage import TINY, Stage, open_stage
from tests.servers.databases import Database

# Six updates in an epoch, and a budget for one epoch of the three.
UPDATES_PER_EPOCH = 6
TERMS = Privacy(clip_norm=0.5, noise_multiplier=3.0, delta=1e-5, epsilon_budget=3.0)
SECTIONS = {
    **TINY,
    "data": {"name": "glyphs", "num_samples": UPDATES_PER_EPOCH * 2 * 64},
    "training": {**TINY["training"], "num_epochs": 3},
    "privacy": {"enabled": True, "clip_norm": 0.5, "noise_multiplier": 3.0, "epsilon_budget": 3.0},
}


@pytest.fixture
def stage(tmp_path: Path, database: Database) -> Iterator[Stage]:
    with open_stage(tmp_path, database, SECTIONS) as opened:
        yield opened


def test_it_ends_before_its_budget_is_passed_though_its_coordinator_was_killed(stage: Stage) -> None:
    assert TERMS.epsilon(1) < TERMS.epsilon_budget < TERMS.epsilon(2)
    coordinator, *_ = stage.assemble()
    with stage.halt_before(3):
        coordinator.kill()
    stage.end_leadership()
    stage.coordinator()
    stage.finish(num_updates=UPDATES_PER_EPOCH, is_whole=False)
    assert stage.value("SELECT max(value) FROM ledger.metrics WHERE name = 'epsilon'") == TERMS.epsilon(1)
    reason = stage.value("SELECT state_reason FROM ledger.runs")
    assert reason.startswith("the privacy budget is spent")
    assert "less than 3 epochs, because the privacy budget is spent" in " ".join(stage.actors[-1].said().split())
