"""The way to the database fails: cut off, silent, or gone while a submit was under way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.network import Network, network_to
from tests.acceptance.stage import Stage, open_stage
from tests.servers.databases import Database

# Each starts four processes, and shares two cores with other tests.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def network(database: Database) -> Iterator[Network]:
    with network_to(database.server.host, database.server.port) as opened:
        yield opened


@pytest.fixture
def stage(tmp_path: Path, database: Database, network: Network) -> Iterator[Stage]:
    """Everybody's way to the database leads through the network; the test itself is beside the server."""
    with open_stage(tmp_path, database, through=network.port) as opened:
        yield opened


def outlast(seconds: float) -> None:
    """A while in which nothing can be waited for, because nothing happens."""
    threading.Event().wait(seconds)


OUTAGES = [pytest.param(3.0), pytest.param(30.0, marks=[pytest.mark.nightly, pytest.mark.timeout(300)])]


@pytest.mark.parametrize("seconds", OUTAGES)
def test_a_run_outlasts_a_cut_network(stage: Stage, network: Network, seconds: float) -> None:
    stage.assemble()
    with stage.halt_before(3):
        network.cut()
    outlast(seconds)
    network.heal()
    stage.finish()


@pytest.mark.parametrize("seconds", OUTAGES)
def test_a_run_outlasts_a_silent_network(stage: Stage, network: Network, seconds: float) -> None:
    stage.assemble()
    with stage.halt_before(3):
        network.hush()
    outlast(seconds)
    network.heal()
    stage.finish()


def test_a_submit_whose_answer_is_lost_counts_once(stage: Stage, network: Network) -> None:
    stage.assemble()
    with stage.gate("gradients", "UPDATE", "NEW.state = 'submitted' AND NEW.base_version = 2", at_commit=True) as gate:
        gate.wait_for()
        submitted = "SELECT id FROM ledger.work_units WHERE state = 'submitted' AND base_version = 2"
        assert stage.value(submitted) is None
        network.cut()
        gate.open()
        unit = stage.wait_for(lambda: stage.value(submitted), "the commit")
        network.heal()
    stage.finish()
    assert stage.value("SELECT attempt FROM ledger.work_units WHERE id = :unit", unit=unit) == 1
