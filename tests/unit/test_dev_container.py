from __future__ import annotations

import json
import re
import tomllib
from typing import Any

from tests.unit.pages import ROOT

_CONTAINER: dict[str, Any] = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
_WORKSPACE = "${containerWorkspaceFolder}/"


def test_the_container_has_the_oldest_python_that_we_support() -> None:
    dockerfile = (ROOT / ".devcontainer" / _CONTAINER["build"]["dockerfile"]).read_text("utf-8")
    found = re.search(r"^FROM python:(\d+\.\d+)-", dockerfile, flags=re.MULTILINE)
    assert found is not None
    with (ROOT / "pyproject.toml").open("rb") as file:
        required = tomllib.load(file)["project"]["requires-python"]
    assert required == f">={found[1]}"


def test_one_works_in_it_as_the_user_that_it_has() -> None:
    dockerfile = (ROOT / ".devcontainer" / _CONTAINER["build"]["dockerfile"]).read_text("utf-8")
    assert dockerfile.splitlines()[-1] == f"USER {_CONTAINER['remoteUser']}"


def test_its_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    commands = [value for key, value in _CONTAINER.items() if key.endswith("Command")]
    assert commands
    for command in commands:
        program, target = command.split()
        assert program == "make"
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


def test_it_finds_the_environment_where_make_puts_it() -> None:
    venv = re.search(r"^VENV := (.*)$", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE)
    assert venv is not None
    folder = f"{_WORKSPACE}{venv[1]}/bin"
    assert _CONTAINER["remoteEnv"]["PATH"].startswith(f"{folder}:")
    assert _CONTAINER["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"] == f"{folder}/python"


def test_the_paths_in_its_settings_exist() -> None:
    settings = _CONTAINER["customizations"]["vscode"]["settings"]
    assert all((ROOT / path).exists() for path in [*settings["yaml.schemas"], *settings["python.testing.pytestArgs"]])
