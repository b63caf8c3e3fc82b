"""Brings a database to this release's schema, or says what is missing to do so."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import alembic.command
import alembic.config
import psycopg.errors
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

import migrations
from contract.database import SCHEMA_REVISION, engine_for, revision_of
from contract.errors import MissingRight, SchemaTooNew
from coordinator.place import Place
from coordinator.rights import refusal_of_guest

# Any login may make large objects, take advisory locks and write to the log of changes, as PostgreSQL comes. Nobody
# here needs any of it.
_HARDENING = """
DO $$
DECLARE
    v_function regprocedure;
BEGIN
    FOR v_function IN
        SELECT oid::regprocedure FROM pg_proc
         WHERE pronamespace = 'pg_catalog'::regnamespace
           AND proname ~ '^(lo_|lowrite|loread|pg_(try_)?advisory_|pg_sleep|pg_logical_emit_message$)'
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', v_function);
    END LOOP;
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
END
$$
"""

# Nothing where nothing is left to take back: a REVOKE would wait for whoever holds the database's row.
_OPEN_TO_ALL = text("""
    SELECT 'REVOKE ALL ON DATABASE ' || quote_ident(current_database()) || ' FROM PUBLIC'
     WHERE has_database_privilege('public', current_database(), 'CONNECT, TEMPORARY, CREATE')
     UNION ALL
    SELECT 'REVOKE ALL ON SCHEMA public FROM PUBLIC'
      FROM pg_namespace WHERE nspname = 'public' AND has_schema_privilege('public', oid, 'USAGE, CREATE')""")

_ASK_THE_PROVIDER = """this database user may not set up a ledger.
Ask whoever runs the server to execute, as an administrator:
    ALTER ROLE "{user}" CREATEROLE;
    ALTER DATABASE "{database}" OWNER TO "{user}";
or, where CREATEROLE cannot be had, to create the two groups once and give you the right to admit people to them
(the ledger can then be made, but nobody be invited, as each person gets a login):
    CREATE ROLE barnraise_volunteers; CREATE ROLE barnraise_observers;
    GRANT barnraise_volunteers, barnraise_observers TO "{user}" WITH ADMIN OPTION;
(the server said: {reason})"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Migrated:
    before: str | None
    after: str


def migrate(engine: Engine) -> Migrated:
    """Safe to repeat, and safe to run twice at once: the second waits for the first."""
    try:
        return _migrate(engine)
    except IntegrityError as error:
        # Where two begin with nothing, the second waits at the first name it makes, and then finds it taken.
        if not isinstance(error.orig, psycopg.errors.UniqueViolation):
            raise
        return _migrate(engine)


def _migrate(engine: Engine) -> Migrated:
    with engine.connect() as connection:
        before = revision_of(connection)
        if before is not None and int(before) > int(SCHEMA_REVISION):
            raise SchemaTooNew
        try:
            _upgrade(connection)
            protect_database(connection)
            connection.commit()
        except MissingRight as error:
            connection.rollback()
            raise MissingRight(refusal_of_guest(connection) or _what_to_ask(engine, error)) from error
        return Migrated(before=before, after=SCHEMA_REVISION)


def migrate_place(place: Place) -> Migrated:
    """Of an embedded server the administrator's login is known, and takes back what only an administrator can."""
    done = migrate(place.engine)
    if place.superuser is not None:
        engine = engine_for(place.superuser, application="coordinator")
        with engine.connect() as superuser:
            harden(superuser)
        engine.dispose()
    return done


def protect_database(connection: Connection) -> None:
    """What PostgreSQL grants to everybody on a new database, taken back. A copy of a database needs it again."""
    for revoke in connection.execute(_OPEN_TO_ALL).scalars().all():
        connection.exec_driver_sql(revoke)


def harden(superuser: Connection) -> None:
    """What only a superuser can take back from everybody: sleeping, advisory locks, large objects, bytes in the WAL."""
    superuser.execution_options(no_parameters=True).exec_driver_sql(_HARDENING)
    superuser.commit()


def _upgrade(connection: Connection) -> None:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, "head")


def _what_to_ask(engine: Engine, reason: BaseException) -> str:
    return _ASK_THE_PROVIDER.format(user=engine.url.username, database=engine.url.database, reason=reason)
