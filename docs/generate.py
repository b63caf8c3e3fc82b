"""Writes the pages of docs/reference that repeat what the code knows: `make docs`. A test finds them out of date."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

import click

from contract.config import generated_files
from contract.errors import BarnraiseError, all_errors
from contract.sources import SOURCES
from contract.states import GRADIENT_EDGES, RUN_EDGES, UNIT_EDGES
from coordinator.cli import coordinator
from worker.cli import worker

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"
_CODE_WIDTH = 100


def pages() -> dict[Path, str]:
    return {
        **{ROOT / path: content for path, content in generated_files().items()},
        REFERENCE / "states.md": states(),
        REFERENCE / "errors.md": errors(),
        REFERENCE / "cli.md": commands(),
        REFERENCE / "sql-functions.md": sql_functions(),
        REFERENCE / "data-sources.md": data_sources(),
    }


def states() -> str:
    parts = [
        "# States",
        "Written by `make docs` from `contract/states.py`; the database's guard triggers hold the same edges, and a test "
        "tries every pair. A change that is no edge fails with `BR002`.",
        "Each change is a line of `watch.events`, with who, when and why. One is told later: that a unit was leased is "
        "told when the lease ends, with its beginning in `since`.",
    ]
    units = "A unit that comes back keeps its place in the queue, before all fresh ones."
    for title, edges, note in (
        ("Work units", UNIT_EDGES, units),
        ("Gradients", GRADIENT_EDGES, "`discarded` was never needed, `rejected` was looked at and says why."),
        ("Runs", RUN_EDGES, "A finished run may be given more epochs, a failed one may be mended and started again."),
    ):
        parts += [f"## {title}", note, f"```mermaid\nstateDiagram-v2\n{_diagram(edges)}\n```"]
    return "\n\n".join(parts) + "\n"


def _diagram(edges: Mapping[Any, frozenset[Any]]) -> str:
    first: StrEnum = next(iter(edges))
    lines = [f"    [*] --> {first}"]
    for old, following in edges.items():
        lines += [f"    {old} --> {new}" for new in edges if new in following]
        if not following:
            lines.append(f"    {old} --> [*]")
    return "\n".join(lines)


def errors() -> str:
    rows = []
    for error in all_errors():
        meaning = str(BarnraiseError(error.__doc__)) if error.__init__ is BarnraiseError.__init__ else error.__doc__
        rows.append(f"| `{error.__name__}` | {error.exit_code} | {error.sqlstate or ''} | {meaning} |")
    return "\n".join(
        [
            "# Errors",
            "",
            "Written by `make docs` from `contract/errors.py`. A command that fails says one line and ends with the exit "
            "code of its error's class; `-v` shows where it happened. SQLSTATEs of class `BR` are the ledger's own: the "
            "same refusal in psql and in a worker.",
            "",
            "| error | exit code | SQLSTATE | says |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def commands() -> str:
    parts = ["# Commands", "Written by `make docs` from the commands' own help."]
    for group in (coordinator, worker):
        for path, command in _walk(group, str(group.name)):
            context = click.Context(command, info_name=path, terminal_width=100, max_content_width=100)
            parts += [f"## {path}", f"```text\n{command.get_help(context)}\n```"]
    return "\n\n".join(parts) + "\n"


def _walk(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in sorted(name for name, child in command.commands.items() if not child.hidden):
            yield from _walk(command.commands[name], f"{path} {name}")


def sql_functions() -> str:
    parts = [
        "# SQL functions",
        "Written by `make docs` from `migrations/functions`. These are all that a volunteer's login may execute; besides "
        "them it may read the [views](monitoring.md) of schema `watch`. They identify the caller by the login, take no times, and bound "
        "every size. A function that was released is never changed: `_v2` stands beside `_v1`, because volunteers "
        "upgrade late.",
        "An administrator (a superuser) can take from every login what PostgreSQL grants to all, and nobody here needs: "
        "large objects, advisory locks, sleeping. The embedded server is set up so; elsewhere run the block of "
        "`coordinator/migrating.py` once as an administrator.",
    ]
    for file in sorted((ROOT / "migrations" / "functions").glob("*.sql")):
        text = file.read_text("utf-8")
        found = re.search(r"CREATE FUNCTION (volunteer\.\w+\s*\(.*?\))\s*\n?\s*RETURNS (.*?)\nLANGUAGE", text, re.S)
        if found is None:
            continue
        signature = _broken_at_commas(found[1]) + "\n" + _broken_at_commas(f"returns {found[2]}", indent="    ")
        comment = " ".join(line.removeprefix("--").strip() for line in text.split("CREATE FUNCTION")[0].splitlines())
        parts += [f"## {file.stem}", comment.strip(), f"```text\n{signature}\n```"]
    return "\n\n".join(parts) + "\n"


def _broken_at_commas(code: str, *, indent: str = "") -> str:
    one_line = re.sub(r"(?<=\() | (?=\))", "", re.sub(r"\s+", " ", code))
    whole_arguments = re.sub(r"(?<!,) ", "\N{NO-BREAK SPACE}", one_line)
    lines = textwrap.wrap(
        whole_arguments, _CODE_WIDTH, initial_indent=indent, subsequent_indent=indent + "    ", break_on_hyphens=False
    )
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")


def data_sources() -> str:
    parts = [
        "# Data sources",
        "Written by `make docs` from `contract/sources`. `data.name` chooses one, `data.path` says where it reads from disk, "
        "`data.options` holds what is listed here. Every volunteer needs the same data: a fingerprint of it is compared "
        "at joining.",
    ]
    for source in SOURCES:
        module = inspect.getdoc(sys.modules[source.__module__])
        options = [field for field in dataclasses.fields(cast(Any, source)) if field.init]
        rows = [f"| `{field.name}` | `{json.dumps(field.default)}` |" for field in options]
        parts += [f"## {source.name}", str(module), str(inspect.getdoc(source))]
        parts += ["\n".join(["| option | default |", "|---|---|", *rows])] if rows else []
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    for path, content in pages().items():
        path.write_text(content, encoding="utf-8", newline="\n")
        click.echo(path.relative_to(ROOT))
