"""The page beside a run: the coordinator keeps it going, and neither of the two holds up or ends the other."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx2
import psutil

from coordinator.duties.show_page import ShowPage
from tests.acceptance.stage import TINY, open_stage
from tests.servers.databases import Database
from tests.waiting import wait_until

TOKEN = "barn-door-barn-door"


def pages_of(process: psutil.Process) -> list[psutil.Process]:
    """More than one where Python starts itself once more, as on Windows."""
    return [child for child in process.children(recursive=True) if "dashboard" in child.cmdline()]


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_start_shows_the_page_again_when_it_fell_and_takes_it_along_when_it_ends(
    tmp_path: Path, database: Database
) -> None:
    port = free_port()
    sections = {**TINY, "coordinator": {"dashboard": True, "dashboard_port": port, "dashboard_token": TOKEN}}
    with open_stage(tmp_path, database, sections) as stage:
        coordinator = stage.leading()
        process = psutil.Process(coordinator.process.pid)
        link = f"http://127.0.0.1:{port}/?token={TOKEN}"
        stage.wait_for(lambda: link in coordinator.said(), "the link")
        # What others on this computer see of a process has no secret in it.
        assert all(TOKEN not in " ".join(page.cmdline()) for page in pages_of(process))
        runs = httpx2.get(f"http://127.0.0.1:{port}/api/runs", headers={"authorization": f"Bearer {TOKEN}"})
        assert runs.json()["chosen"] == "default"

        for page in pages_of(process):
            page.kill()
        stage.wait_for(lambda: coordinator.said().count(link) == 2, "the link once more")
        assert "the run goes on" in coordinator.said()
        left = pages_of(process)
        assert left
        coordinator.kill()
        wait_until(lambda: not any(map(is_alive, left)), what="the page's end")


def test_a_page_that_cannot_be_shown_is_told_once(tmp_path: Path) -> None:
    page = ShowPage(options=["--config", str(tmp_path / "nowhere.yaml")], secrets={}, first_pause_seconds=0.01)
    reports = [page.run_once()]

    def has_fallen() -> bool:
        reports.append(page.run_once())
        return not page.has_process

    for _ in range(2):
        wait_until(has_fallen, within_seconds=60)
        wait_until(lambda: page.run_once() and page.has_process, within_seconds=60)
    page.end()
    (problem,) = [report.problem for report in reports if report.problem is not None]
    assert "there is no such file" in problem
    assert all(report.lines == () for report in reports)
