"""The page looks as an observer: a login of its own, made by the coordinator's, with a password that stays here."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import secrets
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from contract.config import Config, find_config_file, resolve_path
from contract.database import engine_for
from contract.errors import LoginRefused
from coordinator.embedded.places import write_file
from coordinator.ledger import logins, observers
from coordinator.place import Place

_FILE: Final = "dashboard.json"
# One reader, one listener, one who fetches samples, and one for each of them to come while the last is not yet gone.
# A look takes milliseconds; a statement may take ten times a transaction's time.
_LIMITS: Final = logins.Limits(connections=8, transaction_seconds=3, idle_transaction_seconds=3)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    name: str
    password: str = dataclasses.field(repr=False)


def looking_engine(place: Place, config: Config, config_file: Path | None) -> Engine:
    """The configuration's own login where that is an observer's (or a volunteer's)."""
    with place.engine.connect() as conn:
        if observers.only_looks(conn):
            return place.engine
    folder = resolve_path(config.database.state_directory, config_file=find_config_file(config_file)) / "secrets"
    kept = _kept(folder / _FILE)
    with place.engine.connect() as conn:
        role = observers.role_of(conn, kept.name)
    url = place.engine.url.set(username=role, password=kept.password)
    engine = engine_for(url, application="dashboard", pooler=config.database.pooler)
    try:
        engine.connect().close()
    except LoginRefused:
        with place.engine.begin() as conn:
            observers.admit(conn, name=kept.name, password=kept.password, limits=_LIMITS, renew=True)
        engine.connect().close()
    return engine


def _kept(file: Path) -> _Kept:
    with contextlib.suppress(OSError, ValueError, TypeError):
        return _Kept(**json.loads(file.read_text("utf-8")))
    # A name for each folder: two pages for one ledger, started in different places, need two passwords.
    kept = _Kept(name=f"dashboard-{secrets.token_hex(4)}", password=secrets.token_urlsafe(24))
    # Where nothing can be written the login is for this process alone.
    with contextlib.suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(file, json.dumps(dataclasses.asdict(kept)) + "\n", account=None)
    return kept
