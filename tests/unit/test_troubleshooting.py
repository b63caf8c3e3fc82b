"""The page that people open when something is wrong: complete, and what it quotes is what the programs say."""

from __future__ import annotations

import ast
import re

import pytest

from contract.errors import all_errors
from tests.unit.pages import ROOT

_PAGE = (ROOT / "docs" / "reference" / "troubleshooting.md").read_text("utf-8")
_ERRORS = {error.__name__: error for error in all_errors()}


def sections() -> dict[str, str]:
    parts = re.split(r"^### (.*)$", _PAGE.split("\n## No error", 1)[0], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def quotes(section: str) -> list[str]:
    return [line.removeprefix("> ").removeprefix("- ") for line in section.splitlines() if line.startswith("> ")]


@pytest.fixture(scope="module")
def said() -> str:
    """All that the programs and the database's functions may say, a line each."""
    texts = []
    for folder in ("contract", "coordinator", "worker"):
        for file in (ROOT / folder).rglob("*.py"):
            nodes = ast.walk(ast.parse(file.read_text("utf-8")))
            texts += [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    for file in (ROOT / "migrations" / "functions").glob("*.sql"):
        statements = re.sub(r"(?m)^\s*--.*$", "", file.read_text("utf-8"))
        texts += re.findall(r"'((?:[^']|'')*)'", statements)
    return "\n".join(" ".join(re.sub("%[sL]", "\0", text).split()) for text in texts)


def test_every_class_of_error_has_its_section_and_every_section_its_class() -> None:
    assert list(sections()) == list(_ERRORS)


@pytest.mark.parametrize("name", _ERRORS)
def test_a_section_says_code_reason_and_remedy(name: str) -> None:
    section, error = sections()[name], _ERRORS[name]
    state = f", SQLSTATE `{error.sqlstate}`" if error.sqlstate else ""
    assert section.strip().startswith(f"Exit code {error.exit_code}{state}.\n")
    assert "**You see**" in section
    assert "**Why" in section
    assert "hat to do.**" in section


@pytest.mark.parametrize("name", _ERRORS)
def test_a_section_stands_below_its_exit_code(name: str) -> None:
    before = _PAGE.split(f"\n### {name}\n", 1)[0]
    assert re.findall(r"^## Exit code (\d+)$", before, flags=re.MULTILINE)[-1] == str(_ERRORS[name].exit_code)


@pytest.mark.parametrize("name", _ERRORS)
def test_what_a_section_quotes_is_said_by_a_program(name: str, said: str) -> None:
    for quote in quotes(sections()[name]):
        for piece in quote.split("…"):
            assert piece.strip() in said, quote


@pytest.mark.parametrize("name", [name for name, error in _ERRORS.items() if not error.__subclasses__()])
def test_a_section_quotes_what_people_see(name: str) -> None:
    assert quotes(sections()[name])
