"""The one place where the harness calls the product: the migrations make the template database."""

from __future__ import annotations

from sqlalchemy import URL


def migrate_template(url: URL) -> None:
    # Imported here: the tests of a half-built schema should fail, not the collection of all others.
    from coordinator.migrating import migrate

    migrate(url)
