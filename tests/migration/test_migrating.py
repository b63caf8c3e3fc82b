"""Migrating twice, two at once, and what a process says of a ledger that does not fit it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import alembic.config
import alembic.script
import pytest
import sqlalchemy.exc
from sqlalchemy import Connection, Engine, event, text

import contract.database
import migrations
from contract.database import SCHEMA_REVISION, check_schema, engine_for, revision_of
from contract.errors import MissingRight, SchemaMissing, SchemaTooNew, SchemaTooOld, ServerTooOld
from coordinator.migrating import Migrated, migrate
from tests.migration.test_schema_snapshot import schema_of
from tests.servers.databases import Database
from tests.servers.server import Login
from tests.waiting import wait_until

_SOMEBODY_WAITS = text("""
    SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
                    WHERE NOT l.granted AND a.datname = current_database()
                      AND a.application_name = 'barnraise second')""")


@pytest.fixture
def first(empty_database: Database) -> Iterator[Engine]:
    engine = engine_for(empty_database.url(), application="first")
    yield engine
    engine.dispose()


@pytest.fixture
def second(empty_database: Database) -> Iterator[Engine]:
    engine = engine_for(empty_database.url(), application="second")
    yield engine
    engine.dispose()


def test_migrating_again_changes_nothing(first: Engine) -> None:
    assert migrate(first) == Migrated(before=None, after=SCHEMA_REVISION)
    with first.connect() as connection:
        before = schema_of(connection)
    assert migrate(first) == Migrated(before=SCHEMA_REVISION, after=SCHEMA_REVISION)
    with first.connect() as connection:
        assert schema_of(connection) == before


@pytest.mark.parametrize("already", [False, True], ids=["empty", "migrated before"])
def test_of_two_at_once_the_second_waits_for_the_first(first: Engine, second: Engine, already: bool) -> None:
    if already:
        migrate(first)
    with first.connect() as watcher, ThreadPoolExecutor(1) as pool:
        later: list[Future[Migrated]] = []

        def just_before_the_end_of_the_first(_: Connection) -> None:
            if not later:
                later.append(pool.submit(migrate, second))
                wait_until(
                    lambda: later[0].done() or watcher.execute(_SOMEBODY_WAITS).scalar_one(), what="the second's wait"
                )
                assert not later[0].done()

        event.listen(first, "commit", just_before_the_end_of_the_first)
        assert migrate(first).before == (SCHEMA_REVISION if already else None)
        assert later[0].result().after == SCHEMA_REVISION
    with second.connect() as connection:
        check_schema(connection)


def test_a_migration_that_fails_leaves_nothing(first: Engine) -> None:
    with first.begin() as connection:
        connection.execute(text("CREATE SCHEMA volunteer"))
    with pytest.raises(sqlalchemy.exc.ProgrammingError, match='schema "volunteer" already exists'):
        migrate(first)
    with first.begin() as connection:
        assert revision_of(connection) is None
        assert connection.execute(text("SELECT to_regnamespace('ledger')")).scalar_one() is None
        connection.execute(text("DROP SCHEMA volunteer"))
    assert migrate(first).before is None


def test_the_code_knows_its_newest_revision() -> None:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    assert alembic.script.ScriptDirectory.from_config(config).get_heads() == [SCHEMA_REVISION]


def test_an_empty_database_holds_no_ledger(first: Engine) -> None:
    with first.connect() as connection, pytest.raises(SchemaMissing, match="coordinator start"):
        check_schema(connection)


def test_an_older_ledger_is_refused(owner_engine: Engine) -> None:
    with owner_engine.connect() as connection, pytest.raises(SchemaTooOld) as caught:
        connection.execute(text("UPDATE ledger.schema_version SET version_num = '0000'"))
        check_schema(connection)
    assert str(caught.value) == (
        f"the ledger is at revision 0000, this Barnraise needs {SCHEMA_REVISION}; "
        "the instructor runs `coordinator migrate`"
    )


def test_a_newer_ledger_is_refused(owner_engine: Engine) -> None:
    with owner_engine.begin() as connection:
        connection.execute(text("UPDATE ledger.schema_version SET version_num = '9999'"))
    with owner_engine.connect() as connection, pytest.raises(SchemaTooNew) as caught:
        check_schema(connection)
    assert str(caught.value) == (
        f"the ledger is at revision 9999, this Barnraise knows {SCHEMA_REVISION}; "
        "upgrade with `pip install --upgrade barnraise`"
    )
    with pytest.raises(SchemaTooNew):
        migrate(owner_engine)


def test_an_older_server_is_refused(owner_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract.database, "OLDEST_SERVER", 99)
    with owner_engine.connect() as connection, pytest.raises(ServerTooOld, match="Barnraise needs 99 or newer"):
        check_schema(connection)


def test_a_fitting_ledger_is_accepted(owner_engine: Engine) -> None:
    with owner_engine.connect() as connection:
        check_schema(connection)


def test_who_may_not_set_up_a_ledger_is_told_what_to_ask_for(empty_database: Database, first: Engine) -> None:
    guest = Login(role=empty_database.role_name("guest"), password="guest")
    with first.begin() as connection:
        connection.execute(text(f"CREATE ROLE {guest.role} LOGIN PASSWORD 'guest'"))
    engine = engine_for(empty_database.url(guest), application="test")
    with pytest.raises(MissingRight) as caught:
        migrate(engine)
    engine.dispose()
    for line in (
        f'ALTER ROLE "{guest.role}" CREATEROLE;',
        f'ALTER DATABASE "{empty_database.name}" OWNER TO "{guest.role}";',
        "permission denied for database",
    ):
        assert line in str(caught.value)
