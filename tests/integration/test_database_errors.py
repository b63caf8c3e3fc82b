"""Whatever goes wrong between us and the database, one line says what it is and what to do."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import URL, Connection, Engine, text

from contract.database import binary_cursor, engine_for
from contract.errors import (
    DatabaseError,
    DatabaseFull,
    DatabaseReadOnly,
    DatabaseUnreachable,
    LeaseLost,
    LockHeld,
    LoginRefused,
    MissingRight,
    SchemaIncomplete,
    ServerInTrouble,
    StatementEnded,
    TooManyConnections,
)
from tests.integration.two_at_once import blocked, open_transaction
from tests.servers.databases import Database
from tests.servers.server import Login


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    engine = engine_for(database.url(), application="test")
    yield engine
    engine.dispose()


@pytest.fixture
def engine_at() -> Iterator[Callable[[URL], Engine]]:
    with contextlib.ExitStack() as engines:

        def make(url: URL) -> Engine:
            engine = engine_for(url, application="test")
            engines.callback(engine.dispose)
            return engine

        yield make


@pytest.fixture
def guest(database: Database, engine: Engine) -> Login:
    """A role that may log in, and nothing else."""
    login = Login(role=database.role_name("guest"), password="guest")
    with engine.begin() as conn:
        conn.execute(text(f"CREATE ROLE {login.role} LOGIN PASSWORD 'guest'"))
        conn.execute(text(f"GRANT CONNECT ON DATABASE {database.name} TO {login.role}"))
        conn.execute(text(f"GRANT {login.role} TO CURRENT_USER"))
    return login


def said(error: type[DatabaseError], engine: Engine, statement: str = "SELECT 1") -> str:
    """The message, which must be one line and begin with what the kind of error always says."""
    with pytest.raises(error) as caught, engine.begin() as conn:
        conn.exec_driver_sql(statement)
    assert type(caught.value) is error
    message = str(caught.value)
    assert message.startswith(f"{error()} (the database said: ")
    assert "\n" not in message
    return message


def test_a_wrong_password(database: Database, guest: Login, engine_at: Callable[[URL], Engine]) -> None:
    wrong = engine_at(database.url(Login(role=guest.role, password="wrong")))
    message = said(LoginRefused, wrong)
    assert f'password authentication failed for user "{guest.role}"' in message
    assert "wrong" not in message.split("(the database said", maxsplit=1)[1]


def test_no_password(database: Database, guest: Login, engine_at: Callable[[URL], Engine]) -> None:
    said(LoginRefused, engine_at(database.url(Login(role=guest.role, password=""))))


def test_a_role_that_does_not_exist(database: Database, engine_at: Callable[[URL], Engine]) -> None:
    said(LoginRefused, engine_at(database.url(Login(role=database.role_name("nobody"), password="x"))))


def test_a_revoked_login(database: Database, engine: Engine, guest: Login, engine_at: Callable[[URL], Engine]) -> None:
    with engine.begin() as conn:
        conn.execute(text(f"ALTER ROLE {guest.role} NOLOGIN"))
    assert "not permitted to log in" in said(LoginRefused, engine_at(database.url(guest)))


def test_a_port_where_nobody_listens(database: Database, engine_at: Callable[[URL], Engine]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        said(DatabaseUnreachable, engine_at(database.url().set(host="127.0.0.1", port=probe.getsockname()[1])))


def test_a_host_that_nobody_knows(database: Database, engine_at: Callable[[URL], Engine]) -> None:
    said(DatabaseUnreachable, engine_at(database.url().set(host="nowhere.invalid")))


def test_a_database_that_does_not_exist(database: Database, engine_at: Callable[[URL], Engine]) -> None:
    message = said(DatabaseUnreachable, engine_at(database.url().set(database=f"{database.name}_x")))
    assert f'database "{database.name}_x" does not exist' in message


def test_a_missing_right(database: Database, guest: Login, engine_at: Callable[[URL], Engine]) -> None:
    message = said(MissingRight, engine_at(database.url(guest)), "SELECT * FROM ledger.runs")
    assert "permission denied for schema ledger" in message.replace("\n", " ")


@pytest.mark.parametrize("missing", ["watch.leaderboards", "watch.leaders()"])
def test_a_ledger_that_lacks_a_part(engine: Engine, missing: str) -> None:
    assert missing in said(SchemaIncomplete, engine, f"SELECT * FROM {missing}")


def test_a_database_that_takes_no_writes(engine: Engine) -> None:
    with pytest.raises(DatabaseReadOnly, match="cannot execute DELETE in a read-only"), engine.begin() as conn:
        conn.execute(text("SET TRANSACTION READ ONLY"))
        conn.execute(text("DELETE FROM ledger.metrics"))


@pytest.mark.parametrize("in_binary", [False, True])
def test_a_session_that_is_read_only_is_not_used_again(engine: Engine, in_binary: bool) -> None:
    def write() -> None:
        with engine.begin() as conn:
            if in_binary:
                with binary_cursor(conn) as cursor:
                    cursor.execute("DELETE FROM ledger.metrics")
            else:
                conn.execute(text("DELETE FROM ledger.metrics"))

    with engine.begin() as conn:
        conn.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
    with pytest.raises(DatabaseReadOnly):
        write()
    write()


def test_a_statement_that_takes_too_long(engine: Engine) -> None:
    with pytest.raises(StatementEnded, match="statement timeout"), engine.begin() as conn:
        conn.execute(text("SET LOCAL statement_timeout = '20ms'"))
        conn.execute(text("SELECT count(*) FROM generate_series(1, 1000000000)"))


def test_a_lock_that_takes_too_long(engine: Engine) -> None:
    with open_transaction(engine) as holder, open_transaction(engine) as other:
        holder.execute(text("LOCK TABLE ledger.metrics"))
        other.execute(text("SET LOCAL lock_timeout = '20ms'"))
        with pytest.raises(LockHeld, match="lock timeout"):
            other.execute(text("SELECT FROM ledger.metrics"))


def test_two_that_wait_for_each_other(engine: Engine) -> None:
    with (
        open_transaction(engine) as one,
        open_transaction(engine) as other,
        engine.connect() as watcher,
        pytest.raises(StatementEnded, match="deadlock detected"),
    ):
        one.execute(text("LOCK TABLE ledger.metrics"))
        other.execute(text("LOCK TABLE ledger.events"))
        with blocked(watcher, one, lambda: one.execute(text("LOCK TABLE ledger.events"))) as first:
            try:
                other.execute(text("LOCK TABLE ledger.metrics"))
            finally:
                # Whichever of the two was ended, the other has its lock then.
                other.rollback()
                first.result(timeout=30)


@pytest.mark.parametrize(
    ("sqlstate", "error"),
    [
        ("53100", DatabaseFull),
        ("53200", ServerInTrouble),
        ("54000", ServerInTrouble),
        ("58030", ServerInTrouble),
        ("40001", StatementEnded),
        ("57P04", DatabaseUnreachable),
    ],
)
def test_what_a_server_in_trouble_says(engine: Engine, sqlstate: str, error: type[DatabaseError]) -> None:
    said(error, engine, f"DO $$ BEGIN RAISE EXCEPTION 'so it is' USING ERRCODE = '{sqlstate}'; END $$")


def test_a_session_that_began_read_only_is_not_kept(database: Database, engine: Engine) -> None:
    delete = text("DELETE FROM ledger.metrics")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on"))
        other = engine_for(engine.url, application="test")
        with pytest.raises(DatabaseReadOnly), other.begin() as begun:
            begun.execute(delete)
        conn.execute(text(f"ALTER DATABASE {database.name} RESET default_transaction_read_only"))
    with other.begin() as begun:
        begun.execute(delete)
    other.dispose()


def test_more_connections_than_a_role_may_have(
    database: Database, engine: Engine, guest: Login, engine_at: Callable[[URL], Engine]
) -> None:
    with engine.begin() as conn:
        conn.execute(text(f"ALTER ROLE {guest.role} CONNECTION LIMIT 1"))
    with engine_at(database.url(guest)).connect():
        said(TooManyConnections, engine_at(database.url(guest)))


def test_a_session_that_was_ended(engine: Engine) -> None:
    with open_transaction(engine) as victim, engine.begin() as conn:
        end_session_of(victim, conn)
        with pytest.raises(DatabaseUnreachable):
            victim.execute(text("SELECT 1"))


def test_bytes_on_a_session_that_was_ended(engine: Engine) -> None:
    with open_transaction(engine) as victim, engine.begin() as conn:
        end_session_of(victim, conn)
        with pytest.raises(DatabaseUnreachable), binary_cursor(victim) as cursor:
            cursor.execute("SELECT 1")


def test_an_idle_connection_that_was_ended_is_replaced_without_a_word(engine: Engine) -> None:
    with engine.connect() as idle:
        pid = idle.execute(text("SELECT pg_backend_pid()")).scalar_one()
    other = engine_for(engine.url, application="test")
    with other.begin() as conn:
        conn.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    other.dispose()
    with engine.connect() as conn:
        assert conn.execute(text("SELECT pg_backend_pid()")).scalar_one() != pid


def test_what_the_ledger_refuses_comes_with_its_hint(engine: Engine) -> None:
    refuse = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'BR001', MESSAGE = 'too late', HINT = 'hurry'; END $$"
    with pytest.raises(LeaseLost) as caught, engine.begin() as conn:
        conn.exec_driver_sql(refuse)
    assert str(caught.value) == "too late (hurry)"
    with pytest.raises(LeaseLost, match="too late"), engine.begin() as conn, binary_cursor(conn) as cursor:
        cursor.execute(refuse)


def test_bytes_are_committed_with_the_rest(engine: Engine) -> None:
    with engine.connect() as conn:
        with binary_cursor(conn) as cursor:
            cursor.execute("INSERT INTO ledger.metrics (run_id, version, name, value) VALUES (1, 1, 'x', 1)")
        conn.commit()
    with engine.connect() as conn:
        assert conn.execute(text("SELECT count(*) FROM ledger.metrics")).scalar_one() == 1


def end_session_of(victim: Connection, conn: Connection) -> None:
    pid = victim.execute(text("SELECT pg_backend_pid()")).scalar_one()
    # It waits until the session is over.
    assert conn.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid}).scalar_one()
