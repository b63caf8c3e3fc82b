"""Processes that die at a line of our choosing. The coordinator is killed at the statements of its own transactions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.acceptance.one_process import of_local_training
from tests.acceptance.stage import NUM_UPDATES, TINY, Actor, Stage, open_stage
from tests.servers.databases import Database

# Of the transaction that publishes a version, in its order: table, event, condition.
PUBLISHING = {
    "a version": ("model_versions", "INSERT", "NEW.number = {version}"),
    "its delta": ("model_parts", "INSERT", "NEW.version = {version} AND NEW.kind = 'delta'"),
    "the head": ("runs", "UPDATE", "NEW.head_version = {version} AND OLD.head_version < {version}"),
    "the merged gradients": ("gradients", "UPDATE", "NEW.state = 'merged' AND NEW.merged_version = {version}"),
    "the merged units": ("work_units", "UPDATE", "NEW.state = 'merged' AND NEW.planned_version = {version} - 1"),
    "its links": ("contributions", "INSERT", "NEW.version = {version}"),
    "the aggregation": ("aggregations", "INSERT", "NEW.version = {version}"),
    "the metrics": ("metrics", "INSERT", "NEW.version = {version}"),
}

# Each starts four processes, and shares two cores with other tests.
pytestmark = pytest.mark.timeout(600)


def test_a_coordinator_killed_at_any_statement_of_a_merge_changes_no_bit(tmp_path: Path, database: Database) -> None:
    rest = 2 + len(PUBLISHING)
    with open_stage(tmp_path, database, {**TINY, "compression": {"keyframe_interval": 3}}) as stage:
        coordinator, *_ = stage.assemble()
        with stage.gate("model_parts", "INSERT", f"NEW.version >= {rest} AND NEW.kind = 'weights'") as keyframe:
            coordinator = kill_at_each(stage, coordinator, PUBLISHING.values())
            # Whole weights are written now and then, beside the versions.
            keyframe.wait_for()
            coordinator.kill()
        with stage.gate("model_parts", "INSERT", f"NEW.version >= {rest} AND NEW.kind = 'optimizer'") as remembering:
            stage.end_leadership()
            coordinator = stage.coordinator()
            # So is the optimizer's state.
            remembering.wait_for()
            coordinator.kill()
        stage.end_leadership()
        stage.coordinator()
        stage.finish()
        assert last_checksum(stage) == of_local_training()
        assert stage.value("SELECT count(*) FROM ledger.model_versions WHERE is_keyframe") < NUM_UPDATES / 2


@pytest.mark.nightly
def test_where_versions_travel_whole_a_killed_coordinator_changes_no_bit(tmp_path: Path, database: Database) -> None:
    table, event, condition = PUBLISHING["its delta"]
    publishing = {**PUBLISHING, "its delta": (table, event, condition.replace("'delta'", "'weights'"))}
    with open_stage(tmp_path, database, {**TINY, "compression": {"downlink": "none"}}) as stage:
        coordinator, *_ = stage.assemble()
        kill_at_each(stage, coordinator, publishing.values())
        stage.finish()
        assert last_checksum(stage) == of_local_training(deltas=None)


def kill_at_each(stage: Stage, coordinator: Actor, publishing: Iterable[tuple[str, str, str]]) -> Actor:
    """At the first statement while version 2 is published, at the second while version 3 is, and so on."""
    for version, (table, event, condition) in enumerate(publishing, start=2):
        with stage.gate(table, event, condition.format(version=version)) as gate:
            gate.wait_for()
            coordinator.kill()
            gate.open()
            assert stage.head() == version - 1
        stage.end_leadership()
        coordinator = stage.coordinator()
        stage.wait_for_version(version)
    return coordinator


def last_checksum(stage: Stage) -> bytes:
    return bytes(stage.value("SELECT sha256 FROM ledger.model_versions ORDER BY number DESC LIMIT 1"))


def test_a_coordinator_killed_while_it_commits_has_published(stage: Stage) -> None:
    coordinator, *_ = stage.assemble()
    with stage.gate("aggregations", "INSERT", "NEW.version = 3", at_commit=True) as gate:
        gate.wait_for()
        coordinator.kill()
        gate.open()
    stage.wait_for(lambda: stage.head() == 3, "what the dead one's session still does")
    stage.end_leadership()
    stage.coordinator()
    stage.finish()


def test_a_killed_workers_unit_is_computed_by_another(stage: Stage) -> None:
    _, ada, bob = stage.assemble()
    with stage.gate("gradients", "UPDATE", "NEW.state = 'submitted' AND NEW.base_version = 2") as gate:
        gate.wait_for()
        person = gate.person()
        unit = stage.unit_of(person)
        {"ada": ada, "bob": bob}[person].kill()
        # What it had sent would count if the gate let it pass; the power failed before.
        stage.end_sessions(person)
    stage.finish()
    assert stage.value("SELECT attempt FROM ledger.work_units WHERE id = :unit", unit=unit) == 2
    assert stage.holder_of(unit) != person
