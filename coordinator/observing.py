"""Lets people look: a login each that reads the views, as a file for our commands and as an address for psql."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL

from contract.config import Config
from contract.errors import InvitationError
from coordinator.ledger import logins, observers
from coordinator.letters import Letters, database_section
from coordinator.place import Place

_HEADER: Final = """\
# With this file you may look at a run, and change nothing. It holds your password: keep it to yourself.
# With Barnraise installed, type:
#   coordinator dashboard --config {file}
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """`address` is what psql and most other programs take; it holds the password."""

    name: str
    file: Path
    address: str


def let_look(place: Place, config: Config, names: Sequence[str], *, directory: Path, renew: bool = False) -> list[Pass]:
    """All of them, or none."""
    passes = []
    limits = logins.Limits(
        transaction_seconds=config.coordinator.volunteer_transaction_seconds,
        idle_transaction_seconds=config.coordinator.volunteer_idle_transaction_seconds,
    )
    with Letters(directory, header=_HEADER) as letters:
        with place.engine.begin() as conn:
            for name in dict.fromkeys(names):
                admission = observers.admit(
                    conn,
                    name=name,
                    password=secrets.token_urlsafe(18),
                    limits=limits,
                    renew=renew,
                )
                database = database_section(place.public, admission)
                file, _ = letters.write(name, {"database": database, "run": {"name": config.run.name}})
                passes.append(Pass(name=name, file=file, address=_address(database)))
        letters.hand_out()
    return passes


def stop_looking(place: Place, *, name: str) -> None:
    with place.engine.begin() as conn:
        role = observers.shut_out(conn, name=name)
    if not logins.end_every_session(place.engine, role=role):
        raise InvitationError(
            f"{name} can no longer log in, but a session of theirs does not end; "
            f"run `coordinator observe --revoke {name}` again"
        )


def _address(database: dict[str, Any]) -> str:
    if "url" in database:
        return str(database["url"])
    # psql takes certificates from files only; without one the line is encrypted all the same.
    sslmode = "require" if database.get("certificate") else database["sslmode"]
    url = URL.create(
        "postgresql",
        username=database["user"],
        password=database["password"],
        host=database["host"],
        port=database["port"],
        database=database["name"],
        query={"sslmode": sslmode},
    )
    return url.render_as_string(hide_password=False)
