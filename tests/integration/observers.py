"""Who only looks on: a login in the group of observers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from contract.database import engine_for
from tests.servers.databases import Database
from tests.servers.server import Login


@contextlib.contextmanager
def looking_on(database: Database, owner: Engine) -> Iterator[Engine]:
    login = Login(role=database.role_name("watcher"), password="binoculars")
    with owner.begin() as conn:
        conn.execute(text(f"CREATE ROLE {login.role} LOGIN PASSWORD '{login.password}' IN ROLE barnraise_observers"))
        conn.execute(text(f"GRANT CONNECT ON DATABASE {database.name} TO {login.role}"))
    engine = engine_for(database.url(login), application="test")
    yield engine
    engine.dispose()


@pytest.fixture
def observer(database: Database, owner_engine: Engine) -> Iterator[Engine]:
    with looking_on(database, owner_engine) as engine:
        yield engine
