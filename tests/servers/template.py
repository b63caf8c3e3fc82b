"""All that the harness knows of the product."""

from __future__ import annotations

from sqlalchemy import URL, create_engine

# The roles that the migrations make once per server and that outlive a run on a server that is not thrown away.
GROUPS = ("barnraise_volunteers", "barnraise_observers")


def migrate_template(url: URL) -> None:
    # Imported here: the tests of a half-built schema should fail, not the collection of all others.
    from coordinator.migrating import migrate

    engine = create_engine(url)
    try:
        migrate(engine)
    finally:
        engine.dispose()


def harden_template(url: URL) -> None:
    from coordinator.migrating import harden

    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            harden(connection)
    finally:
        engine.dispose()
