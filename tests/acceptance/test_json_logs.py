"""`--log-format json` on both sides, with a volunteer whose names would break a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.stage import Actor, Stage

# The ledger takes no name with a character that ends a line.
NAME = 'ada"}\\n{"level": "critical"} \U0001f410 [red]'


def lines(actor: Actor) -> list[dict[str, Any]]:
    said = [json.loads(line) for line in actor.said().splitlines()]
    assert all({"time", "level", "logger", "message", "run", "process", "pid"} <= set(line) for line in said)
    return said


@pytest.mark.timeout(300)
def test_every_line_of_a_run_is_one_json_object(stage: Stage) -> None:
    coordinator = stage.leading("--log-format", "json")
    joining = ("join", "--config", "invitations/ada.yaml", "--log-format", "json", "--name", NAME)
    ada = stage.start("ada", *joining, program="worker")
    several = ("join", "--config", "invitations/bob.yaml", "--log-format", "json", "--processes", "2", "--name", NAME)
    bob = stage.start("bob", *several, program="worker")
    stage.finish()
    merges = [line["data"]["version"] for line in lines(coordinator) if line.get("data", {}).get("merged")]
    assert merges == list(range(1, 13))
    assert {line["process"] for line in lines(coordinator)} == {"coordinator"}
    joined = [line for line in lines(ada) if line["logger"] == "barnraise.worker.prepared"]
    assert [line["data"]["name"] for line in joined] == [NAME]
    assert {line["data"]["place"] for line in lines(bob) if "data" in line} == {0, 1}
    assert not [line for actor in stage.actors for line in lines(actor) if line["level"] == "critical"]


def test_what_ends_a_worker_is_a_line_with_its_story(stage: Stage, tmp_path: Path) -> None:
    stage.leading()
    refused = stage.start(
        "ada", "join", "--config", "invitations/ada.yaml", "--set", "database.password=wrong", "--log-format", "json",
        program="worker",
    )  # fmt: skip
    stage.wait_for(lambda: refused.process.poll() is not None, "the end of a refused worker")
    last = lines(refused)[-1]
    assert (last["logger"], last["level"]) == ("barnraise.worker", "critical")
    assert "LoginRefused" in last["exception"]
    assert refused.process.returncode not in (0, 1)
