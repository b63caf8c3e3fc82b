"""The notebook with which a volunteer takes part, run cell by cell in a kernel of its own against a real class."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from tests.acceptance.stage import ONE_THREAD, TINY, Stage, open_stage
from tests.servers.databases import Database
from tests.unit.pages import ROOT

_FILE = ROOT / "docs" / "tutorial" / "colab_worker.ipynb"
_MANY_EPOCHS = 1000
# A kernel, two worker processes and a coordinator each load PyTorch, one after another.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def notebook() -> NotebookNode:
    return nbformat.read(_FILE, as_version=4)


def cell(notebook: NotebookNode, name: str) -> NotebookNode:
    return next(cell for cell in notebook.cells if cell["id"] == name)


def said(cell: NotebookNode) -> str:
    """All that it printed and showed."""
    return "\n".join(
        output.get("text") or str(output.get("data", {}).get("text/markdown", "")) for output in cell["outputs"]
    )


def token_of(stage: Stage, person: str) -> str:
    invited = stage.project.run("invite", "--renew", person)
    assert invited.code == 0
    found = re.search(r"worker join \S+", invited.out)
    assert found is not None
    return found[0]


def client_of(notebook: NotebookNode, folder: Path, **settings: object) -> NotebookClient:
    """Plays it in a folder of its own, with these settings in place of the notebook's."""
    parameters = next(cell for cell in notebook.cells if "parameters" in cell["metadata"].get("tags", ()))
    parameters["source"] += "\n" + "\n".join(f"{name} = {value!r}" for name, value in settings.items())
    return NotebookClient(notebook, timeout=100, kernel_name="python3", resources={"metadata": {"path": str(folder)}})


@pytest.fixture
def volunteers_computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kernel takes its environment from us."""
    folder = tmp_path / "volunteer"
    folder.mkdir()
    for name, value in {
        **ONE_THREAD,
        "BARNRAISE_HOME": str(folder / "home"),
        "IPYTHONDIR": str(folder / "ipython"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }.items():
        monkeypatch.setenv(name, value)
    return folder


def test_the_notebook_is_valid_and_holds_no_outputs(notebook: NotebookNode) -> None:
    nbformat.validate(notebook)
    assert len({cell["id"] for cell in notebook.cells}) == len(notebook.cells)
    code = [cell for cell in notebook.cells if cell["cell_type"] == "code"]
    assert code
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)


def test_a_volunteer_takes_part_from_a_notebook_until_the_run_is_over(
    stage: Stage, notebook: NotebookNode, volunteers_computer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BARNRAISE_TOKEN", token_of(stage, "ada"))
    stage.leading()
    client = client_of(notebook, volunteers_computer, INSTALL=False, EVERY=0.5, MINUTES=2)
    asyncio.run(client.async_execute())
    assert "an invitation of ada to run default" in said(cell(notebook, "token"))
    assert "NOT OK" not in said(cell(notebook, "doctor"))
    assert "computes" in said(cell(notebook, "doctor"))
    merged = stage.value("SELECT count(*) FROM ledger.gradients WHERE state = 'merged'")
    assert f"| units that moved the model | {merged} |" in said(cell(notebook, "leave"))
    assert "left" in said(cell(notebook, "leave"))
    stage.finish()


def test_a_cell_that_is_stopped_does_not_stop_the_worker_and_the_last_one_does(
    tmp_path: Path,
    database: Database,
    notebook: NotebookNode,
    volunteers_computer: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    long = {**TINY, "training": {**TINY["training"], "num_epochs": _MANY_EPOCHS}}
    with open_stage(tmp_path, database, long) as stage, ThreadPoolExecutor(1) as pool:
        monkeypatch.setenv("BARNRAISE_TOKEN", token_of(stage, "ada"))
        stage.leading()
        client = client_of(notebook, volunteers_computer, INSTALL=False, EVERY=0.5, MINUTES=2)
        played = pool.submit(asyncio.run, client.async_execute())
        stage.wait_for_version(1, within_seconds=100)
        # As Jupyter's button does.
        os.kill(client.km.provisioner.pid, signal.SIGINT)
        played.result(timeout=100)
        assert said(cell(notebook, "leave")).endswith("left\n")
        assert stage.value("SELECT left_reason FROM ledger.workers") == "stopped by its owner"
