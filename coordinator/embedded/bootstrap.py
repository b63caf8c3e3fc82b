"""The role and the database the coordinator works with; every step may find itself done already."""

from __future__ import annotations

from contract.errors import EmbeddedServerError
from coordinator.embedded.cluster import SUPERUSER
from coordinator.embedded.places import Places
from coordinator.embedded.settings import EmbeddedSettings

_OPEN_TO_ALL = """
SELECT datname FROM pg_database
 WHERE datname IN ('postgres', 'template1') AND has_database_privilege('public', oid, 'CONNECT, TEMPORARY')"""


def bootstrap(
    settings: EmbeddedSettings, places: Places, *, host: str, port: int, superuser_password: str
) -> tuple[str, str]:
    """The owner's password and the server's version."""
    # Here, because the front shares this package and would carry libpq for nothing.
    import psycopg
    from psycopg import sql

    owner_password = places.secret("owner_password")
    password_is_new = owner_password is None
    if owner_password is None:
        owner_password = places.new_secret("owner_password")
    try:
        with psycopg.connect(
            host=host, port=port, user=SUPERUSER, password=superuser_password, dbname="postgres", sslmode="disable",
            gssencmode="disable", connect_timeout=20, autocommit=True,
        ) as connection:  # fmt: skip
            owner = sql.Identifier(settings.owner)
            role_exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [settings.owner]).fetchone()
            if role_exists is None:
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE CREATEDB").format(owner))
            if role_exists is None or password_is_new:
                # Hashed here, so that the server never sees the password itself, not even in its log.
                verifier = connection.pgconn.encrypt_password(
                    owner_password.encode(), settings.owner.encode(), b"scram-sha-256"
                ).decode()
                connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(owner, sql.Literal(verifier)))
            if (
                connection.info.server_version >= 160000
                and not connection.execute(
                    "SELECT 1 FROM pg_auth_members WHERE roleid = 'pg_use_reserved_connections'::regrole"
                    " AND member = %s::regrole",
                    [owner.as_string(connection)],
                ).fetchone()
            ):
                connection.execute(sql.SQL("GRANT pg_use_reserved_connections TO {}").format(owner))
            # Every login may enter these as PostgreSQL comes, and fill the disk there.
            for (name,) in connection.execute(_OPEN_TO_ALL).fetchall():
                closed = sql.SQL("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name))
                connection.execute(closed)
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [settings.database]).fetchone():
                database = sql.Identifier(settings.database)
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {} ENCODING 'UTF8'").format(database, owner))
            return owner_password, connection.info.parameter_status("server_version") or ""
    except psycopg.Error as error:
        raise EmbeddedServerError(
            f"PostgreSQL runs on {host} port {port}, but its administrator cannot set it up: {str(error).strip()}\n"
            f"The administrator's password is kept in {places.state / 'secrets' / 'superuser_password'}."
        ) from error
