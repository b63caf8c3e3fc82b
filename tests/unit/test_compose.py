"""The Docker Compose set-up of the how-to names only what exists; no engine is needed to see that."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract.config import Config, parse_config
from contract.config.environment import FILLED_FROM_ENVIRONMENT
from coordinator.dashboard.access import ALIVE
from tests.unit.pages import ROOT
from tests.unit.test_docs_words import problem_with

_FOLDER = ROOT / "docs" / "how-to" / "compose"
_COMPOSE: dict[str, Any] = yaml.safe_load((_FOLDER / "compose.yaml").read_text("utf-8"))
_SERVICES: dict[str, dict[str, Any]] = _COMPOSE["services"]
_OURS = [name for name, service in _SERVICES.items() if "build" in service]
_VARIABLE = re.compile(r"\$\{(\w+)(:?[-?][^}]*)?\}")


def settings() -> dict[str, str]:
    """As env.example has them."""
    lines = (_FOLDER / "env.example").read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def instructions(*kinds: str) -> list[str]:
    text = (_FOLDER / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    return [line.split(maxsplit=1)[1] for line in text.splitlines() if line.split(" ")[0] in kinds]


@pytest.mark.parametrize("name", [name for name in _OURS if "command" in _SERVICES[name]])
def test_the_command_of_a_service_exists(name: str) -> None:
    assert problem_with(shlex.join(["coordinator", *_SERVICES[name]["command"]])) is None


def test_the_healthchecks_of_our_services_are_commands_that_exist() -> None:
    words = _SERVICES["coordinator"]["healthcheck"]["test"]
    assert words[:2] == ["CMD", "coordinator"]
    assert problem_with(shlex.join(words[1:])) is None


def test_the_page_is_asked_where_it_answers() -> None:
    port = Config().coordinator.dashboard_port
    assert f"'http://127.0.0.1:{port}{ALIVE}'" in _SERVICES["dashboard"]["healthcheck"]["test"][-1]
    assert _SERVICES["dashboard"]["ports"] == [f"${{DASHBOARD_PORT:-{port}}}:{port}"]


def test_every_variable_that_is_asked_for_is_in_the_example() -> None:
    asked = set()
    for file in ("compose.yaml", "config.yaml.example"):
        for name, rest in _VARIABLE.findall((_FOLDER / file).read_text("utf-8")):
            if not rest.startswith(":-"):
                asked.add(name)
    assert asked
    assert asked <= set(settings())


def test_every_variable_of_the_example_is_used() -> None:
    used = {name for name, _ in _VARIABLE.findall((_FOLDER / "compose.yaml").read_text("utf-8"))}
    assert set(settings()) - used == {"COMPOSE_PROJECT_NAME"}


def test_every_variable_that_a_service_of_ours_is_given_is_read() -> None:
    read = set(FILLED_FROM_ENVIRONMENT.values()) | {
        name for name, _ in _VARIABLE.findall((_FOLDER / "config.yaml.example").read_text("utf-8"))
    }
    for name in _OURS:
        assert set(_SERVICES[name]["environment"]) <= read, name


def test_the_configuration_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**settings(), "ADVERTISE_HOST": "db.example.org", "DB_PASSWORD": "secret"}.items():
        monkeypatch.setenv(name, value)
    config = parse_config((_FOLDER / "config.yaml.example").read_text("utf-8"), source="config.yaml.example")
    assert (config.database.host, config.database.port) == ("postgres", 5432)
    assert config.database.password is not None


def test_no_secret_is_written_down() -> None:
    secret = [name for name in settings() if re.search("PASSWORD|TOKEN", name)]
    assert len(secret) == 3
    assert not any(settings()[name] for name in secret)


def test_services_wait_for_services_and_mount_what_is_there() -> None:
    volumes = set(_COMPOSE["volumes"])
    for name, service in _SERVICES.items():
        assert set(service.get("depends_on", {})) <= set(_SERVICES), name
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            made_by_hand = source in ("./config.yaml", "./class")
            assert source in volumes or made_by_hand or (_FOLDER / source).is_file(), mount


@pytest.mark.parametrize("name", _OURS)
def test_a_service_of_ours_has_no_more_rights_than_it_needs(name: str) -> None:
    service = _SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert instructions("USER") == ["barnraise"]


def test_the_image_takes_in_what_it_needs_and_nothing_else() -> None:
    copied = {source for line in instructions("COPY") if not line.startswith("--from") for source in line.split()[:-1]}
    assert all((ROOT / source).exists() for source in copied)
    ignore = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in ignore if line and not line.startswith("#")]
    assert rules[0] == "**"
    assert {line.removeprefix("!") for line in rules if line.startswith("!")} == copied
    packages = {Path(package).name for package in copied if (ROOT / package).is_dir()}
    assert packages == {"contract", "coordinator", "worker", "migrations"}


def test_the_extras_of_the_image_exist() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    asked = [name for names in re.findall(r"'\.\[(.*)\]'", "\n".join(instructions("RUN"))) for name in names.split(",")]
    assert asked
    assert set(asked) <= set(extras)
    assert all("-c constraints.txt" in line for line in instructions("RUN") if "pip install" in line)
