"""Logins: a role of the server for each person, with the rights of one group and no others."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from enum import StrEnum
from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Engine, text

from contract.database import binary_cursor

_LONGEST_ROLE_NAME: Final = 63
_PATIENCE_SECONDS: Final = 10.0

_DATABASE = text("SELECT current_database()")
_EXISTS = text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)")
# In its own name: what PUBLIC may do on a database that was just restored is taken back at the next start.
_MAY_CONNECT = text("""
    SELECT EXISTS (SELECT FROM pg_database d CROSS JOIN LATERAL aclexplode(d.datacl) AS acl
                     JOIN pg_roles r ON r.oid = acl.grantee
                    WHERE d.datname = current_database() AND r.rolname = :role
                      AND acl.privilege_type = 'CONNECT')""")
# An owner may be in the groups too, to admit people to them; before PostgreSQL 16 the right to make logins is enough.
_GUEST = text("""
    SELECT CASE rolname WHEN 'barnraise_volunteers' THEN 'volunteer' ELSE 'observer' END
      FROM pg_roles
     WHERE rolname IN ('barnraise_volunteers', 'barnraise_observers')
       AND pg_has_role(oid, 'MEMBER') AND NOT pg_has_role(oid, 'MEMBER WITH ADMIN OPTION')
       AND NOT (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user)
     ORDER BY rolname DESC LIMIT 1""")
_END_SESSIONS = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = :role")
_COUNT_SESSIONS = text("SELECT count(*) FROM pg_stat_activity WHERE usename = :role")


class Guest(StrEnum):
    VOLUNTEER = "volunteer"
    OBSERVER = "observer"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one login, over all its sessions, transactions and pauses within them."""

    connections: int = 8
    transaction_seconds: int = 60
    idle_transaction_seconds: int = 30


def role_name_for(database: str, name: str) -> str:
    """Roles belong to the whole server; the database's name keeps the classes on it apart."""
    role = f"{database}_{name}"
    if len(role) <= _LONGEST_ROLE_NAME:
        return role
    digest = hashlib.sha256(role.encode()).hexdigest()[:12]
    return f"{role[: _LONGEST_ROLE_NAME - 13]}_{digest}"


def role_here(conn: Connection, name: str) -> str:
    return role_name_for(conn.execute(_DATABASE).scalar_one(), name)


def all_here(conn: Connection) -> str:
    """The group of those who may connect to this database. In capitals, as no volunteer's name is."""
    return role_here(conn, "ALL")


def guest(conn: Connection) -> Guest | None:
    """What this connection's login was invited as; None where it was not, as the owner's."""
    kind = conn.execute(_GUEST).scalar_one_or_none()
    return None if kind is None else Guest(kind)


def exists(conn: Connection, *, role: str) -> bool:
    return bool(conn.execute(_EXISTS, {"role": role}).scalar_one())


def make_login(
    conn: Connection,
    *,
    role: str,
    password: str,
    group: str,
    limits: Limits,
) -> None:
    """Or opens one again that exists. The password reaches the server only as a SCRAM verifier."""
    login = sql.Identifier(role)
    is_old = exists(conn, role=role)
    if is_old:
        # A new password ends what the old one opened; and an open session of theirs could hold the login's own row,
        # which anybody may change in a transaction they do not end.
        end_sessions(conn, role=role)
    with binary_cursor(conn) as cursor:
        verifier = cursor.connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
        # A new role is no superuser and makes no roles; that an old one is none, only superusers may say.
        make = sql.SQL("{} ROLE {} LOGIN PASSWORD {} CONNECTION LIMIT {}")
        verb = sql.SQL("ALTER") if is_old else sql.SQL("CREATE")
        cursor.execute(make.format(verb, login, sql.Literal(verifier.decode()), sql.Literal(limits.connections)))
        # What a group may do comes by inheritance. Nobody needs to become the group, where that can be told apart.
        may_become = sql.SQL(" WITH SET FALSE" if cursor.connection.info.server_version >= 160000 else "")
        for joined in (sql.Identifier(group), _those_who_may_connect(conn, cursor)):
            cursor.execute(sql.SQL("GRANT {} TO {}{}").format(joined, login, may_become))
        # As a member the owner may see and end this person's sessions, without being a superuser.
        cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(login))
        settings = {
            "statement_timeout": limits.transaction_seconds * 10_000,
            "idle_in_transaction_session_timeout": limits.idle_transaction_seconds * 1000,
            "lock_timeout": 10_000,
        }
        for setting, milliseconds in settings.items():
            cursor.execute(
                sql.SQL("ALTER ROLE {} SET {} = {}").format(login, sql.Identifier(setting), sql.Literal(milliseconds))
            )


def close_login(conn: Connection, *, role: str, group: str) -> None:
    """No new session, to be committed at once; those that came in meanwhile are ended after that."""
    # Else they could put it off: `BEGIN; ALTER ROLE me PASSWORD ...` holds the login's row for as long as they like.
    end_sessions(conn, role=role)
    with binary_cursor(conn) as cursor:
        login = sql.Identifier(role)
        cursor.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(login))
        for left in (sql.Identifier(group), _those_who_may_connect(conn, cursor)):
            cursor.execute(sql.SQL("REVOKE {} FROM {}").format(left, login))


def end_sessions(conn: Connection, *, role: str) -> None:
    conn.execute(_END_SESSIONS, {"role": role})


def count_sessions(conn: Connection, *, role: str) -> int:
    return int(conn.execute(_COUNT_SESSIONS, {"role": role}).scalar_one())


def end_every_session(engine: Engine, *, role: str) -> bool:
    """Of a login that is closed. False where one does not end."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with engine.begin() as conn:
            end_sessions(conn, role=role)
            if count_sessions(conn, role=role) == 0:
                return True
        time.sleep(0.05)
    return False


def _those_who_may_connect(conn: Connection, cursor: psycopg.Cursor[Any]) -> sql.Identifier:
    """A group of this database's own, made with the first invitation.

    Not CONNECT to each login: that would write the database's row in the catalogue each time, and any volunteer can
    hold that row with a GRANT that grants nothing. Not to the group of volunteers: that is the whole server's.
    """
    name = all_here(conn)
    group = sql.Identifier(name)
    if not exists(conn, role=name):
        cursor.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(group))
    if not conn.execute(_MAY_CONNECT, {"role": name}).scalar_one():
        database = sql.Identifier(conn.execute(_DATABASE).scalar_one())
        cursor.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, group))
    return group
