"""Invites people: a login each, and a small file and a one-line token that hold all they need."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import secrets
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contract.config import Config
from contract.errors import InvitationError
from contract.invitation import encode_token
from coordinator.ledger import people
from coordinator.letters import Letters, database_section
from coordinator.place import Place

_HEADER = """\
# Your invitation to raise a model together. It holds your password: keep it to yourself.
# With Barnraise installed (docs/tutorial/student.md in its repository), type:
#   worker join --config {file}
"""
_MOST_PEOPLE = 5000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    name: str
    display_name: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    name: str
    file: Path
    token: str


def invite(
    place: Place, config: Config, persons: Sequence[Person], *, directory: Path, renew: bool = False
) -> list[Invitation]:
    """All of them, or none: the logins are made in one transaction, and the files stand before it is committed."""
    invitations = []
    with Letters(directory, header=_HEADER) as letters:
        with place.engine.begin() as conn:
            for person in persons:
                admission = people.invite(
                    conn,
                    name=person.name,
                    display_name=person.display_name,
                    password=secrets.token_urlsafe(18),
                    connection_limit=config.database.connections_per_volunteer,
                    transaction_seconds=config.coordinator.volunteer_transaction_seconds,
                    idle_transaction_seconds=config.coordinator.volunteer_idle_transaction_seconds,
                    renew=renew,
                )
                file, content = letters.write(admission.name, _content(place.public, config, admission))
                invitations.append(Invitation(name=admission.name, file=file, token=encode_token(content)))
        letters.hand_out()
    return invitations


def _content(public: dict[str, Any], config: Config, admission: people.Admission) -> dict[str, Any]:
    worker = config.worker
    return {
        "database": database_section(public, admission),
        "run": {"name": config.run.name},
        "worker": {
            "name": admission.name,
            "device": worker.device,
            "batch_size": worker.batch_size,
            "poll_interval": worker.poll_interval,
            "heartbeat_interval": worker.heartbeat_interval,
            "work_unit_timeout": worker.work_unit_timeout,
        },
    }


def persons_from(names: Sequence[str], roster: Path | None) -> list[Person]:
    if not names and roster is None:
        raise InvitationError("say whom to invite: coordinator invite NAME..., or --roster FILE.csv")
    persons = [_person(name) for name in dict.fromkeys(names)]
    return persons + (read_roster(roster) if roster else [])


def _person(written: str) -> Person:
    name = plain_name(written)
    if not name:
        raise InvitationError(f"no login can be named after {written!r}; use some letters a to z or digits")
    return Person(name=name, display_name=written if written != name else None)


def read_roster(file: Path) -> list[Person]:
    """A table of people, as a spreadsheet saves it: a column `name`, perhaps a column `display_name`."""
    try:
        text = file.read_text("utf-8-sig")
    except OSError as error:
        raise InvitationError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise InvitationError(f"{file} is not UTF-8; save it as 'CSV UTF-8'") from None
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise InvitationError(f"{file} is empty")
    delimiter = next((mark for mark in "\t;" if mark in lines[0]), ",")
    rows = list(csv.DictReader(io.StringIO("\n".join(lines)), delimiter=delimiter))
    columns = {(column or "").strip().lower(): column for column in (rows[0] if rows else {})}
    if "name" not in columns:
        raise InvitationError(f"{file} needs a first line with a column called name (and display_name, if you like)")
    if len(rows) > _MOST_PEOPLE:
        raise InvitationError(f"{file} has {len(rows)} lines; at most {_MOST_PEOPLE} people are invited at once")
    return _persons(file, [(row[columns["name"]], row.get(columns.get("display_name", ""))) for row in rows])


def _persons(file: Path, rows: list[tuple[str | None, str | None]]) -> list[Person]:
    persons: dict[str, Person] = {}
    problems = []
    for number, (written, display_name) in enumerate(rows, start=2):
        written = (written or "").strip()
        name = plain_name(written)
        if not name:
            problems.append(f"line {number}: no name can be made of {written!r}")
        elif name in persons:
            problems.append(f"line {number}: {written!r} and a line before it both become {name!r}; tell them apart")
        else:
            shown = (display_name or "").strip() or (written if written != name else None)
            persons[name] = Person(name=name, display_name=shown)
    if problems:
        raise InvitationError("\n".join([f"{file} has problems; nobody was invited:", *problems]))
    return list(persons.values())


def plain_name(written: str) -> str:
    """'Zoë van der Berg' -> 'zoe-van-der-berg': what may name a login and a file everywhere."""
    ascii_text = unicodedata.normalize("NFKD", written).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9_.]+", "-", ascii_text.lower()).strip("-._")[:40]
