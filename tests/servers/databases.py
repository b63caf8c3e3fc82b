"""Databases and roles for the tests, made and removed on one server."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import secrets
from collections.abc import Callable

import psycopg
from psycopg import sql
from sqlalchemy import URL

from tests.servers.server import Login, NoServerError, Server, connect
from tests.servers.template import GROUPS


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """Roles belong to the whole server: those whose names begin with `{name}_` are dropped with the database."""

    name: str
    server: Server
    owner: Login

    def url(self, login: Login | None = None) -> URL:
        return self.server.url(login or self.owner, self.name)

    @property
    def superuser_url(self) -> URL:
        return self.server.admin.set(database=self.name)

    def role_name(self, name: str) -> str:
        return f"{self.name}_{name}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TestSession:
    """All that one run of pytest, in however many processes, makes on the server begins with `prefix`."""

    __test__ = False

    prefix: str
    owner: Login
    groups_found: tuple[str, ...] = ()


def begin_session(server: Server) -> TestSession:
    """The owner has what a managed service gives: CREATEROLE and CREATEDB, never superuser."""
    prefix = f"t_{secrets.token_hex(2)}"
    owner = Login(role=f"{prefix}_owner", password=secrets.token_urlsafe(16))
    with connect(server.admin) as admin, admin.transaction():
        admin.execute(
            sql.SQL("CREATE ROLE {} LOGIN CREATEROLE CREATEDB PASSWORD {}").format(
                sql.Identifier(owner.role), sql.Literal(owner.password)
            )
        )
        if not server.admin_is_superuser:
            admin.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(owner.role)))
        groups_found = _groups(admin)
        for group in groups_found:
            # From PostgreSQL 16 on only their maker may admit people to them, and that was somebody else.
            grant = sql.SQL("GRANT {} TO {} WITH ADMIN OPTION").format(
                sql.Identifier(group), sql.Identifier(owner.role)
            )
            try:
                admin.execute(grant)
            except psycopg.errors.InsufficientPrivilege as error:
                raise NoServerError(
                    f"{server.backend} has a role {group} that {server.admin.username} does not administer ({error})"
                ) from None
    return TestSession(prefix=prefix, owner=owner, groups_found=groups_found)


def end_session(server: Server, session: TestSession) -> None:
    if server.disposable:
        return
    prefix = session.prefix + "_"
    with connect(server.admin) as admin:
        rows = admin.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [prefix]).fetchall()
        for (database,) in rows:
            _drop(admin, server, database)
        for group in set(_groups(admin)).difference(session.groups_found):
            # Another run on the same server may be using them by now.
            with contextlib.suppress(psycopg.errors.DependentObjectsStillExist):
                admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(group)))
        _drop_roles(admin, prefix)


def _groups(admin: psycopg.Connection) -> tuple[str, ...]:
    rows = admin.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", [list(GROUPS)]).fetchall()
    return tuple(name for (name,) in rows)


class Workshop:
    """Makes and drops databases for one test process; its two connections are kept, since each costs some ms."""

    def __init__(self, server: Server, session: TestSession, process: str) -> None:
        self.server = server
        self.session = session
        self._names = (f"{session.prefix}_{process}_{number}" for number in itertools.count(1))
        self._owner = connect(server.url(session.owner, server.admin.database or "postgres"))
        self._admin = connect(server.admin)

        self._grants: dict[str, list[tuple[str, str]]] = {}
        self._retired: collections.deque[Database] = collections.deque()

    def close(self) -> None:
        while self._retired:
            self.drop(self._retired.popleft())
        self._owner.close()
        self._admin.close()

    def create(self, *, template: str = "template0") -> Database:
        name = next(self._names)
        self._create(name, template)
        self._copy_grants(template, name)
        return Database(name=name, server=self.server, owner=self.session.owner)

    def retire(self, database: Database) -> None:
        """Drops it one database later: a DROP waits 0.1 s when a connection has only just been closed."""
        self._retired.append(database)
        if len(self._retired) > 1:
            self.drop(self._retired.popleft())

    def drop(self, database: Database) -> None:
        _drop(self._admin, self.server, database.name)

    def make_role(self, database: Database, name: str, *, owns_database: bool = False) -> Login:
        """A login without any right of the server's own."""
        login = Login(role=database.role_name(name), password=secrets.token_urlsafe(16))
        role = sql.Identifier(login.role)
        self._admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(login.password)))
        if owns_database:
            statement = sql.SQL("ALTER DATABASE {} OWNER TO {}")
            self._admin.execute(statement.format(sql.Identifier(database.name), role))
        return login

    def template(self, migrate: Callable[[URL], object], harden: Callable[[URL], object] | None = None) -> str:
        """The migrated database that all others are copied from: built by whichever process comes first.

        `migrate` works as the owner; `harden` as the superuser, where the tests have one.
        """
        finished, unfinished = f"{self.session.prefix}_template", f"{self.session.prefix}_unfinished"
        # A lock of the server's own, as all processes meet there; it ends with the connection.
        self._admin.execute("SELECT pg_advisory_lock(hashtext(%s))", [finished])
        try:
            if not self._exists(finished):
                self._create(unfinished, "template0")
                try:
                    migrate(self.server.url(self.session.owner, unfinished))
                    if harden is not None and self.server.admin_is_superuser:
                        harden(self.server.admin.set(database=unfinished))
                except BaseException:
                    _drop(self._admin, self.server, unfinished)
                    raise
                # The name appears only when the migration is done.
                rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
                self._owner.execute(rename.format(sql.Identifier(unfinished), sql.Identifier(finished)))
        finally:
            self._admin.execute("SELECT pg_advisory_unlock(hashtext(%s))", [finished])
        return finished

    def _create(self, name: str, template: str) -> None:
        statement = sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE {}")
        self._owner.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))

    def _copy_grants(self, template: str, name: str) -> None:
        """PostgreSQL copies all that is in a database, but not the rights on the database itself."""
        if template not in self._grants:
            rows = self._admin.execute(
                "SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,"
                " string_agg(privilege_type, ', ')"
                " FROM pg_database, aclexplode(datacl) WHERE datname = %s AND NOT datistemplate GROUP BY grantee",
                [template],
            )
            self._grants[template] = rows.fetchall()
        if self._grants[template]:
            self._owner.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC".encode())
        for grantee, privileges in self._grants[template]:
            self._owner.execute(f"GRANT {privileges} ON DATABASE {name} TO {grantee}".encode())

    def _exists(self, name: str) -> bool:
        return self._admin.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is not None


def _drop(admin: psycopg.Connection, server: Server, database: str) -> None:
    if not server.admin_is_superuser:
        # Only a member of a role may end its sessions, which FORCE does.
        for role in _roles(admin, f"{database}_"):
            admin.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role)))
    admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))
    _drop_roles(admin, f"{database}_")


def _drop_roles(admin: psycopg.Connection, prefix: str) -> None:
    roles = sql.SQL(", ").join(map(sql.Identifier, _roles(admin, prefix)))
    if roles.as_string():
        admin.execute(sql.SQL("DROP ROLE {}").format(roles))


def _roles(admin: psycopg.Connection, prefix: str) -> list[str]:
    rows = admin.execute("SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)", [prefix])
    return [role for (role,) in rows.fetchall()]
