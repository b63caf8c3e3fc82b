"""Alembic's entry: `coordinator migrate` hands over a connection; by hand, $ALEMBIC_URL names the database."""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import Connection, NullPool, create_engine, text

from coordinator.tables import metadata


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table="schema_version",
        version_table_schema="ledger",
        include_schemas=True,
        include_name=lambda name, kind, _parents: kind != "schema" or name == "ledger",
        compare_server_default=True,
        transaction_per_migration=True,
    )
    # Alembic keeps its own record in the schema that the first revision would make.
    connection.execute(text("CREATE SCHEMA IF NOT EXISTS ledger"))
    if connection.execute(text("SELECT to_regclass('ledger.schema_version')")).scalar_one():
        # Two coordinators may be started at once: the second waits here, and then finds nothing left to do.
        connection.execute(text("LOCK TABLE ledger.schema_version IN SHARE ROW EXCLUSIVE MODE"))
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with create_engine(os.environ["ALEMBIC_URL"], poolclass=NullPool).connect() as connection:
        run(connection)
