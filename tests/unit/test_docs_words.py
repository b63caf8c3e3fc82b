"""What the pages for teachers and students tell people to type, exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from contract.config import Config, parse_config
from coordinator.cli import coordinator
from tests.unit.pages import ROOT, all_pages, blocks, name_of, spans
from worker.cli import worker

_PROGRAMS: dict[str, click.Command] = {"coordinator": coordinator, "worker": worker}
_SECTIONS = set(Config.model_fields)
_KEY = re.compile(r"([a-z]+)\.([a-z_]+)(?::.*)?")
# A field of a line of the log.
_NO_KEYS = ("data.place",)
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_FILES = (".py", ".md", ".yaml", ".json", ".sql", ".png", ".safetensors")


def pages_for_people() -> list[Path]:
    """Decisions speak of the day they were made, changes of what was."""
    return [page for page in all_pages() if "decisions" not in page.parts and page.name != "CHANGELOG.md"]


def commands(text: str) -> list[str]:
    lines = [line.strip().removeprefix("$ ") for language, code in blocks(text) if language in ("", "sh", "powershell")
             for line in code.splitlines()]  # fmt: skip
    return [line for line in [*lines, *spans(text)] if line.split(" ")[0] in _PROGRAMS]


def problem_with(line: str) -> str | None:
    """None where the program has such a command, and the command such options."""
    words = shlex.split(line.replace("…", "x"), comments=True)
    command = _PROGRAMS[words[0]]
    for word in words[1:]:
        if word in ("|", "&", "&&", ";", ">", "--", "and"):
            break
        if word.startswith("-"):
            names = [name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]]
            if word.split("=")[0] not in [*names, "-h", "--help"]:
                return f"{command.name} has no option {word}"
        elif isinstance(command, click.Group):
            if word not in command.commands:
                return f"{command.name} has no command {word}"
            command = command.commands[word]
    return None


@pytest.mark.parametrize("page", pages_for_people(), ids=name_of)
def test_the_commands_of_a_page_exist(page: Path) -> None:
    problems = [
        f"{line}: {problem}"
        for line in commands(page.read_text("utf-8"))
        if not line.isupper() and (problem := problem_with(line)) is not None
    ]
    assert not problems


@pytest.mark.parametrize("page", pages_for_people(), ids=name_of)
def test_the_keys_of_a_page_are_keys_of_the_configuration(page: Path) -> None:
    unknown = []
    for span in spans(page.read_text("utf-8")):
        found = _KEY.fullmatch(span)
        if found is None or found[1] not in _SECTIONS or span.endswith(_FILES) or span in _NO_KEYS:
            continue
        section = Config.model_fields[found[1]].annotation
        if found[2] not in getattr(section, "model_fields", {}):
            unknown.append(span)
    assert not unknown


@pytest.mark.parametrize("page", pages_for_people(), ids=name_of)
def test_a_configuration_that_a_page_shows_is_one(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for language, code in blocks(page.read_text("utf-8")):
        monkeypatch.setenv("HF_TOKEN", "hf_of_yours")
        if language == "yaml" and code.split(":")[0] in _SECTIONS:
            for name in _VARIABLE.findall(code):
                monkeypatch.setenv(name, "postgresql://barnraise@db.example.org/barnraise")
            parse_config(code, source=name_of(page))


def test_commands_are_looked_at() -> None:
    tutorial = (ROOT / "docs" / "tutorial" / "instructor.md").read_text("utf-8")
    assert "coordinator invite ada grace linus" in commands(tutorial)
    assert problem_with("coordinator invite ada --perhaps") == "invite has no option --perhaps"
    assert problem_with("worker jion") == "worker has no command jion"
