"""The tables as SQLAlchemy knows them are the tables that the migrations make."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine

from coordinator.tables import metadata


def test_a_migrated_database_differs_in_nothing_from_the_tables(owner_engine: Engine) -> None:
    options = {
        "include_schemas": True,
        "include_name": lambda name, kind, _parents: kind != "schema" or name == "ledger",
        "compare_type": True,
        "compare_server_default": True,
        "version_table": "schema_version",
        "version_table_schema": "ledger",
    }
    with owner_engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
