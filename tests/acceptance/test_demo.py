"""`coordinator demo` as people type it: it shows something, and leaves nothing behind but pictures."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy
import psutil
import pytest
from PIL import Image

from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the demo's own folder goes, so that what it leaves running can be told from everybody else's."""
    # Not pytest's folder: each session that starts closes it to other users, and PostgreSQL is one where we are root.
    with tempfile.TemporaryDirectory(prefix="demo-test-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder
        for process in left_running(folder):
            process.kill()


def start(folder: Path, *options: str, path: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "coordinator", "demo", "--directory", str(folder / "pictures"), *options],
        cwd=folder,
        env={
            **os.environ,
            "TMPDIR": str(folder),
            "PYTHONPATH": os.pathsep.join(filter(None, [path, str(ROOT)])),
            "COLUMNS": "200",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # As in a terminal, Ctrl-C is for all its processes.
        start_new_session=True,
    )


def left_running(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and str(folder) in " ".join(
                [*process.cmdline(), *process.environ().values()]
            ):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def left_on_disk(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith("barnraise-demo-")]


def is_blank(file: Path) -> bool:
    with Image.open(file) as picture:
        pixels = numpy.asarray(picture.convert("L"))
    return bool(pixels.std() < 5)


@pytest.mark.timeout(300)
def test_it_trains_and_leaves_nothing_but_pictures(folder: Path) -> None:
    process = start(folder, "--seconds", "8")
    out, _ = process.communicate()
    assert process.returncode == 0, out
    losses = [float(found) for found in re.findall(r"^version +\d+ .*loss_g (\d+\.\d+)", out, re.MULTILINE)]
    assert len(losses) > 3, out
    pictures = folder / "pictures"
    assert sorted(path.name for path in pictures.iterdir()) == ["growth.gif", "losses.png", "samples.png"]
    for picture in pictures.iterdir():
        assert not is_blank(picture), picture
        assert str(picture) in out
    for command in (
        "coordinator init",
        "coordinator migrate",
        "coordinator invite",
        "coordinator start",
        "worker join",
    ):
        assert command in out
    assert left_running(folder) == []
    assert left_on_disk(folder) == []


@pytest.mark.timeout(300)
def test_ctrl_c_while_it_trains_shows_what_there_is(folder: Path) -> None:
    process = start(folder, "--seconds", "600", "--workload", "mlp", "--workers", "1")
    assert process.stdout is not None
    said = ""
    while not re.search(r"^version +2 ", said, re.MULTILINE):
        line = process.stdout.readline()
        assert line, said
        said += line
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate()
    assert process.returncode == 0, said + out
    assert (folder / "pictures" / "losses.png").exists()
    assert left_running(folder) == []
    assert left_on_disk(folder) == []


@pytest.mark.timeout(300)
def test_ctrl_c_before_there_is_anything_ends_it_cleanly(folder: Path) -> None:
    process = start(folder)
    wait_until(lambda: left_on_disk(folder), within_seconds=60, what="the demo's folder")
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate()
    assert process.returncode == 130, out
    assert "Traceback" not in out
    assert not (folder / "pictures").exists()
    assert left_running(folder) == []
    assert left_on_disk(folder) == []


def test_a_workload_that_is_not_there_is_told_at_once(folder: Path) -> None:
    process = start(folder, "--workload", "dcgam")
    out, _ = process.communicate()
    assert process.returncode == 2
    assert "there is no demo of 'dcgam'; there are dcgan, mlp" in out


@pytest.mark.timeout(300)
def test_without_matplotlib_it_says_what_to_install_and_ends_well(folder: Path) -> None:
    hidden = folder / "hidden" / "matplotlib"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('hidden')", "utf-8")
    process = start(folder, "--seconds", "1", path=str(hidden.parent))
    out, _ = process.communicate()
    assert process.returncode == 0, out
    assert 'pip install "barnraise[plots]"' in out
    assert (folder / "pictures" / "samples.png").exists()
    assert not (folder / "pictures" / "losses.png").exists()
