from __future__ import annotations

import dataclasses
import json

import psycopg
from sqlalchemy import URL, make_url


class NoServerError(Exception):
    """The tests got no PostgreSQL; the message says what to do."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    role: str
    password: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """`admin` may make roles and databases; it is a superuser unless TEST_DATABASE_URL names a lesser one."""

    backend: str
    version: str
    admin: URL
    admin_is_superuser: bool
    # Ends with the tests, so nobody has to tidy up on it.
    disposable: bool
    # What was tried before this server was taken, for the pytest header.
    remarks: tuple[str, ...] = ()

    @property
    def host(self) -> str:
        return self.admin.host or "localhost"

    @property
    def port(self) -> int:
        return self.admin.port or 5432

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])

    def url(self, login: Login, database: str) -> URL:
        return self.admin.set(username=login.role, password=login.password, database=database)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self) | {"admin": text_of(self.admin)})


def server_from_json(text: str) -> Server:
    fields = json.loads(text)
    return Server(**(fields | {"admin": make_url(fields["admin"]), "remarks": tuple(fields["remarks"])}))


def server_at(url: URL, *, backend: str, disposable: bool, remarks: tuple[str, ...] = ()) -> Server:
    admin = url.set(drivername="postgresql+psycopg", database=url.database or "postgres")
    try:
        with connect(admin) as connection:
            row = connection.execute(
                "SELECT current_setting('server_version'), rolsuper, rolcreaterole AND rolcreatedb"
                " FROM pg_roles WHERE rolname = current_user"
            ).fetchone()
    except psycopg.OperationalError as error:
        raise NoServerError(f"{backend} does not answer: {error}") from None
    assert row is not None
    version, is_superuser, may_create = row
    if not (is_superuser or may_create):
        raise NoServerError(f"{admin.username} at {backend} is neither a superuser nor has CREATEROLE and CREATEDB")
    return Server(
        backend=backend,
        version=version.split()[0],
        admin=admin,
        admin_is_superuser=is_superuser,
        disposable=disposable,
        remarks=remarks,
    )


def connect(url: URL) -> psycopg.Connection:
    return psycopg.connect(text_of(url.set(drivername="postgresql")), autocommit=True, connect_timeout=10)


def text_of(url: URL) -> str:
    return url.render_as_string(hide_password=False)
