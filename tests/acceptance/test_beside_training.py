"""What a whole run shows beside its losses."""

from __future__ import annotations

from pathlib import Path

from tests.project import Project
from tests.servers.databases import Database

FOUR_UPDATES: dict[str, dict[str, object]] = {
    "model": {"name": "mlp", "options": {"image_size": 8, "hidden_features": 8}},
    "data": {"name": "glyphs", "num_samples": 4 * 64},
    "training": {
        "batch_size": 32,
        "batches_per_work_unit": 1,
        "num_workunits_per_update": 2,
        "num_epochs": 1,
        "spare_units": 0,
    },
    "worker": {"heartbeat_interval": 1, "work_unit_timeout": 6, "poll_interval": 0.5},
    "coordinator": {"evaluate_every": 3, "evaluate_samples": 64},
}


def test_a_run_ends_with_the_measure_of_its_last_version(tmp_path: Path, database: Database) -> None:
    project = Project(folder=tmp_path, database=database)
    project.write_config(FOUR_UPDATES)
    assert project.run("invite", "ada").code == 0
    coordinator = project.start("start", BARNRAISE_HOME=str(tmp_path / "home"))
    lines: list[str] = []
    assert coordinator.stdout is not None
    try:
        # Only when it leads is there a run to join.
        for line in coordinator.stdout:
            lines.append(line)
            if "no worker is here" in line:
                break
        joined = project.run(
            "join", "--config", "invitations/ada.yaml", program="worker", BARNRAISE_HOME=str(tmp_path / "home")
        )
        assert joined.code == 0, joined.err
        out, err = coordinator.communicate(timeout=60)
    finally:
        coordinator.kill()
        coordinator.communicate()
    assert (coordinator.returncode, err) == (0, "")
    measured = [line.split("held out")[0].split()[-1] for line in [*lines, *out.splitlines()] if "held out" in line]
    assert measured[0] == "0"
    assert measured[-1] == "4"
    assert len(set(measured)) == len(measured)
