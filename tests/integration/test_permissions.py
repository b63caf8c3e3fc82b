"""A volunteer with psql can do what the design allows, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import Connection, text

from tests.integration.classroom import Classroom, claim, classroom, join
from tests.integration.hostile import calls, server, tables
from tests.integration.hostile.case import FUNCTIONS, Case, Function
from tests.integration.hostile.fingerprint import changes
from tests.integration.hostile.scene import Scene, open_scene, psql
from tests.servers.databases import Workshop
from tests.servers.server import Login, connect

__all__ = ["classroom"]

CASES = (*tables.CASES, *server.CASES, *calls.CASES)


@pytest.fixture(scope="module")
def scene(workshop: Workshop, template: str) -> Iterator[Scene]:
    """One for all cases, since none of them may change it."""
    if not workshop.server.admin_is_superuser:
        pytest.skip("only a superuser sees all that must not change")
    database = workshop.create(template=template)
    with open_scene(database) as opened:
        yield opened
    workshop.retire(database)


@pytest.fixture
def session(scene: Scene) -> Iterator[psycopg.Connection]:
    yield scene.session
    scene.session.rollback()
    scene.session.execute("DISCARD ALL")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_the_design_does_not_allow_is_refused_and_changes_nothing(
    scene: Scene, session: psycopg.Connection, case: Case
) -> None:
    if scene.room.database.server.major < case.oldest:
        pytest.skip(f"PostgreSQL knows this since {case.oldest}")
    before = scene.fingerprints.take()
    sqlstate = None
    try:
        session.execute(scene.written(case.sql).encode())
    except psycopg.Error as error:
        sqlstate = error.sqlstate
    session.rollback()
    assert changes(before, scene.fingerprints.take()) == []
    assert sqlstate in (case.refused or (None,))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_the_same_calls_with_honest_arguments_are_accepted(scene: Scene, function: Function) -> None:
    with psql(scene.room.database, scene.login, autocommit=False) as transaction:
        transaction.execute(scene.written(function.call()).encode())
        transaction.rollback()


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_every_function_a_volunteer_may_call_is_tried(scene: Scene) -> None:
    granted = scene.session.execute(
        "SELECT proname FROM pg_proc WHERE has_function_privilege(oid, 'EXECUTE')"
        " AND pronamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')"
    ).fetchall()
    assert {name for (name,) in granted} == {function.name for function in FUNCTIONS}


def test_what_others_ask_the_database_is_hidden(scene: Scene) -> None:
    with connect(scene.room.database.url()) as owner:
        owner.execute("SELECT 'the coordinator''s secret'")
        rows = scene.session.execute(
            "SELECT usename, query FROM pg_stat_activity WHERE usename IS DISTINCT FROM current_user"
        ).fetchall()
    assert rows
    assert {query for _, query in rows} <= {"<insufficient privilege>", ""}


def test_another_ledger_on_the_same_server_is_closed(scene: Scene, workshop: Workshop, template: str) -> None:
    neighbouring = workshop.create(template=template)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psql(neighbouring, scene.login)
    workshop.retire(neighbouring)


def test_a_password_of_somebody_else_is_refused(scene: Scene) -> None:
    bob = Login(role=scene.room.database.role_name("bob"), password="guessed")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psql(scene.room.database, bob)


def test_nobody_can_join_and_leave_without_end(scene: Scene) -> None:
    """In a transaction that is rolled back; a savepoint would not help either, since nothing of it would stay."""
    join = "SELECT worker_id FROM volunteer.join_v1('class', 'laptop', 'host', 'cpu', '{}', '{}', 1)"
    with psql(scene.room.database, scene.login, autocommit=False) as transaction:
        with pytest.raises(psycopg.Error) as refusal:
            for _ in range(60 * 16 + 1):
                row = transaction.execute(join).fetchone()
                assert row is not None
                transaction.execute("SELECT volunteer.leave_v1(%s, 'bye')", row)
        transaction.rollback()
    assert refusal.value.sqlstate == "BR005"


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER ROLE CURRENT_USER PASSWORD 'mine alone'",
        "ALTER ROLE CURRENT_USER SET statement_timeout = 0",
        "ALTER ROLE CURRENT_USER SET search_path = hole",
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES FOR ROLE barnraise_volunteers GRANT ALL ON TABLES TO PUBLIC",
    ],
)
def test_what_postgresql_lets_every_login_change_of_itself_touches_nobody_else(
    classroom: Classroom, superuser_connection: Connection, statement: str
) -> None:
    alice, bob = classroom.invite("alice"), classroom.invite("bob")
    others = text(
        "SELECT ctid::text, xmin::text, * FROM pg_authid WHERE starts_with(rolname, :database) AND rolname <> :me"
    )
    names = {"database": classroom.database.name, "me": classroom.database.role_name("alice")}
    before = superuser_connection.execute(others, names).all()
    with alice.begin() as conn:
        conn.exec_driver_sql(statement)
    with classroom.owner.begin() as conn:
        conn.exec_driver_sql("CREATE TABLE ledger.made_later ()")
        grants = conn.exec_driver_sql("SELECT relacl FROM pg_class WHERE relname = 'made_later'").scalar_one()
    assert grants is None
    assert superuser_connection.execute(others, names).all() == before
    classroom.open_units(1)
    assert claim(bob, join(bob))
    # Also written down for the whole server: a leftover would keep the role from being dropped.
    with alice.begin() as conn:
        conn.exec_driver_sql(statement.replace("GRANT", "REVOKE").replace(" TO ", " FROM "))
