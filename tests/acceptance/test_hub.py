"""A finished run is on the Hub with its last version, and another begins from there; real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from tests.acceptance.test_training import owner, project, two_workers
from tests.model_hub import ModelHub, model_hub
from tests.project import Project
from tests.waiting import wait_until

__all__ = ["owner", "project"]
SETTINGS = ("--set", "huggingface.enabled=true", "--set", "huggingface.repo_id=ada/digits")


@pytest.fixture
def hub() -> Iterator[ModelHub]:
    with model_hub() as running:
        yield running


def environment(hub: ModelHub, project: Project, token: str = "hf_ada") -> dict[str, str]:  # noqa: S107
    # The server speaks LFS alone.
    return {
        "HF_ENDPOINT": hub.endpoint, "HF_TOKEN": token, "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(project.folder / "hub"),
    }  # fmt: skip


def test_the_last_version_is_on_the_hub_and_another_run_begins_there(
    project: Project, owner: Engine, hub: ModelHub
) -> None:
    with two_workers(project):
        led = project.run("start", "--plain", *SETTINGS, **environment(hub, project))
    assert led.code == 0, led.err
    assert "is on the Hub" in led.out
    files = hub.repositories["ada/digits"]
    with owner.connect() as conn:
        head = conn.execute(text("SELECT head_version FROM ledger.runs")).scalar_one()
    assert json.loads(files["metadata.json"])["version"] == head
    again = project.run("push", *SETTINGS, "--version", str(head), **environment(hub, project))
    assert again.code == 0 and "/ada/digits/commit/" in again.out
    begun = project.start(
        "start", "--plain", "--from", "hub:ada/digits", "--set", "run.name=second", **environment(hub, project)
    )
    try:
        exists = text("SELECT count(head_version) FROM ledger.runs WHERE name = 'second'")
        with owner.connect() as conn:
            wait_until(lambda: conn.execute(exists).scalar_one() == 1, within_seconds=60, what="the second run")
    finally:
        begun.kill()
        begun.communicate()
    with owner.connect() as conn:
        checksums = conn.execute(
            text("""
                SELECT DISTINCT sha256 FROM ledger.model_versions m JOIN ledger.runs r ON r.id = m.run_id
                 WHERE (r.name = 'second' AND m.number = 0) OR (r.name <> 'second' AND m.number = r.head_version)""")
        ).all()
    assert len(checksums) == 1


def test_a_wrong_token_is_said_before_the_training(project: Project, owner: Engine, hub: ModelHub) -> None:
    led = project.run("start", "--plain", *SETTINGS, **environment(hub, project, token="hf_wrong"))
    assert led.code == 10
    assert "does not let this token write to ada/digits" in led.err
    with owner.connect() as conn:
        assert conn.execute(text("SELECT count(*) FROM ledger.runs")).scalar_one() == 0
