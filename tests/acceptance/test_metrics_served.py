"""/metrics as Prometheus meets it: of a real `coordinator dashboard`, with what it logs meanwhile."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.acceptance.network import Network
from tests.acceptance.stage import Actor, Stage, open_stage
from tests.servers.databases import Database

TOKEN = "open-sesame-open-sesame"


def served(stage: Stage, *arguments: str) -> tuple[Actor, int]:
    """A dashboard and its port, when it says that it is there."""
    page = stage.start("page", "dashboard", "--port", "0", "--log-format", "json", *arguments)
    there = stage.wait_for(lambda: [line for line in said(page) if "http://" in line["message"]], "the page's address")
    return page, int(there[0]["message"].split("/?")[0].rstrip("/").rpartition(":")[2])


def said(actor: Actor) -> list[dict[str, Any]]:
    return [json.loads(line) for line in actor.said().splitlines(keepends=True) if line.endswith("\n")]


def scraped(port: int, token: str | None = None, *, status: int = 200) -> str:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as line:
        line.request("GET", "/metrics", headers={} if token is None else {"Authorization": f"Bearer {token}"})
        answer = line.getresponse()
        assert answer.status == status
        return answer.read().decode()


def test_a_run_is_scraped_with_the_token_which_no_log_holds(stage: Stage) -> None:
    stage.leading()
    page, port = served(stage, "--set", f"coordinator.dashboard_token={TOKEN}")
    body = scraped(port, TOKEN)
    assert 'barnraise_leader_present{run="default"} 1.0' in body
    assert 'barnraise_run_state{run="default",state="running"} 1.0' in body
    scraped(port, status=401)
    assert {line["process"] for line in said(page)} == {"dashboard"}
    assert "token=..." in page.said()
    assert TOKEN not in page.said()


def test_a_database_that_is_away_is_told_and_comes_back(tmp_path: Path, database: Database) -> None:
    with (
        closing(Network(database.server.host, database.server.port)) as network,
        open_stage(tmp_path, database, through=network.port) as stage,
    ):
        stage.leading()
        page, port = served(stage)
        stage.wait_for(lambda: "barnraise_up 1.0" in scraped(port), "a first look")
        network.cut()
        stage.wait_for(lambda: "barnraise_up 0.0" in scraped(port), "that it is away")
        network.heal()
        stage.wait_for(lambda: "barnraise_up 1.0" in scraped(port), "that it is back")
        network.hush()
        stage.wait_for(lambda: "barnraise_up 0.0" in scraped(port), "that nothing comes")
        network.heal()
        stage.wait_for(lambda: "barnraise_up 1.0" in scraped(port), "that it is back")
        assert page.process.poll() is None
