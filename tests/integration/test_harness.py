"""The ground that all other integration tests stand on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine

from tests.conftest import ConnectAs
from tests.servers.databases import Database, Workshop
from tests.servers.embedded import embedded_server_url, wheel_binaries
from tests.servers.server import Login, Server, connect

pytestmark = pytest.mark.own_server

ROOT = Path(__file__).parents[2]


def test_two_databases_share_nothing(workshop: Workshop) -> None:
    first, second = workshop.create(), workshop.create()
    try:
        with connect(first.url()) as connection:
            connection.execute("CREATE TABLE mine ()")
        with connect(second.url()) as connection:
            assert connection.execute("SELECT to_regclass('mine')").fetchone() == (None,)
    finally:
        workshop.drop(first)
        workshop.drop(second)


def test_a_dropped_database_takes_its_sessions_and_roles_with_it(workshop: Workshop) -> None:
    database = workshop.create()
    guest = Login(role=database.role_name("guest"), password="guest")
    with connect(database.url()) as connection:
        connection.execute(f"CREATE ROLE {guest.role} LOGIN PASSWORD 'guest'")
    with connect(database.url(guest)) as forgotten:
        workshop.drop(database)
        with pytest.raises(psycopg.OperationalError):
            forgotten.execute("SELECT")
    with pytest.raises(psycopg.OperationalError):
        connect(database.url(guest))


def test_the_owner_has_no_more_than_a_managed_service_gives(owner: Login, empty_database: Database) -> None:
    with connect(empty_database.url()) as connection:
        rights = connection.execute(
            "SELECT rolsuper, rolreplication, rolbypassrls, rolcreaterole, rolcreatedb"
            " FROM pg_roles WHERE rolname = %s",
            [owner.role],
        ).fetchone()
        predefined = connection.execute(
            "SELECT rolname FROM pg_roles WHERE starts_with(rolname, 'pg_')"
            " AND rolname <> 'pg_database_owner' AND pg_has_role(%s, oid, 'member')",
            [owner.role],
        ).fetchall()
    assert rights == (False, False, False, True, True)
    assert predefined == []


def test_a_database_is_utf8_and_belongs_to_the_owner(owner: Login, empty_database: Database) -> None:
    with connect(empty_database.url()) as connection:
        row = connection.execute(
            "SELECT pg_encoding_to_char(encoding), datdba::regrole::text FROM pg_database"
            " WHERE datname = current_database()"
        ).fetchone()
    assert row == ("UTF8", owner.role)


def test_a_copy_grants_what_its_template_grants(workshop: Workshop, owner: Login) -> None:
    template = workshop.create()
    with connect(template.url()) as connection:
        connection.execute(f"REVOKE ALL ON DATABASE {template.name} FROM PUBLIC")
    copy = workshop.create(template=template.name)
    with connect(copy.url()) as connection:
        grants = connection.execute(
            "SELECT DISTINCT grantee::regrole::text FROM pg_database, aclexplode(datacl)"
            " WHERE datname = current_database()"
        ).fetchall()
    workshop.retire(copy)
    workshop.retire(template)
    assert grants == [(owner.role,)]


def test_a_wrong_password_is_refused(empty_database: Database, owner: Login) -> None:
    with pytest.raises(psycopg.OperationalError):
        connect(empty_database.url(Login(role=owner.role, password="wrong")))


def test_the_template_is_built_once_and_only_when_whole(workshop: Workshop) -> None:
    # Its own prefix: the real template is not to be touched.
    session = workshop.session
    other = Workshop(workshop.server, type(session)(prefix=f"{session.prefix}_x", owner=session.owner), "main")
    built: list[str] = []

    def migrate(url: object) -> None:
        built.append(str(url))
        if len(built) == 1:
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        other.template(migrate)
    first, second = other.template(migrate), other.template(migrate)
    with connect(workshop.server.admin) as admin:
        admin.execute(f"DROP DATABASE {first}")
    other.close()
    assert first == second
    assert len(built) == 2


def test_every_test_database_is_migrated(owner_engine: Engine) -> None:
    with owner_engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM information_schema.schemata WHERE schema_name = 'ledger'"))


def test_a_role_can_be_logged_in(database: Database, owner_engine: Engine, connect_as: ConnectAs) -> None:
    role = database.role_name("ada")
    with owner_engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD 'lovelace'"))
        connection.execute(text(f"GRANT CONNECT ON DATABASE {database.name} TO {role}"))
    assert connect_as(role, "lovelace").scalar(text("SELECT session_user")) == role


def test_an_embedded_server_ends_with_the_process_that_asked_for_it() -> None:
    with embedded_server_url(wheel_binaries()) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=5)


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"TEST_BACKEND": "sqlite"}, "it may be url, container, embedded"),
        ({"TEST_BACKEND": "url"}, "needs TEST_DATABASE_URL"),
        (
            {"TEST_DATABASE_URL": "postgresql://nobody:x@127.0.0.1:1/x"},
            "TEST_DATABASE_URL (127.0.0.1:1) does not answer",
        ),
        ({"TEST_POSTGRES_BINARIES": "/nowhere"}, "there is no initdb in"),
    ],
)
def test_a_server_that_cannot_be_had_is_one_clear_line(environment: dict[str, str], complaint: str) -> None:
    done = _pytest("tests/integration", "-k", "nothing", environment=environment)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_the_header_names_server_and_backend(server: Server) -> None:
    url = server.admin.render_as_string(hide_password=False)
    done = _pytest("tests/integration/test_harness.py", "-k", "nothing", environment={"TEST_DATABASE_URL": url})
    assert f"PostgreSQL: {server.version}, TEST_DATABASE_URL ({server.host}:{server.port})" in done.stdout


def test_unit_tests_start_no_server() -> None:
    done = _pytest("tests/unit/test_tensors.py", "-k", "nothing", environment={"TEST_POSTGRES_BINARIES": "/nowhere"})
    assert "PostgreSQL: none" in done.stdout


def _pytest(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("TEST_")} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
