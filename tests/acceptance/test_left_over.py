"""Real processes, and an end at which too little is left for the rule."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.test_training import TINY, running
from tests.project import Project
from tests.servers.databases import Database


def test_a_run_ends_though_its_last_units_are_too_few_for_the_rule(tmp_path: Path, database: Database) -> None:
    project = Project(folder=tmp_path, database=database)
    project.write_config(
        {
            **TINY,
            # Twelve units.
            "data": {"name": "glyphs", "num_samples": 12 * 64},
            "training": {**TINY["training"], "num_workunits_per_update": 5},
            "aggregation": {"rule": "krum", "num_byzantine": 1},
        }
    )
    assert project.run("invite", "ada").code == 0
    with (
        running(project, "start", "--plain") as coordinator,
        running(project, "join", "--config", "invitations/ada.yaml", program="worker") as worker,
    ):
        said, _ = coordinator.communicate(timeout=60)
        assert worker.wait(timeout=30) == 0
    assert coordinator.returncode == 0
    assert "version     2  5 gradients" in said
    assert (
        "the run is finished: every epoch is computed; the last 2 units are too few for an update: krum needs" in said
    )
