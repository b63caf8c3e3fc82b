"""How long a statement of the coordinator waits for others.

Any login may hold a lock in a transaction that it does not end; no duty may wait for that for ever.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, Engine, event, text

from coordinator.leadership import LEASE_SECONDS

# Who waits for longer than the lease has lost the run.
LOCK_SECONDS: Final = LEASE_SECONDS - 1
# Ours take milliseconds, the largest deletions seconds: what takes minutes is stuck.
STATEMENT_SECONDS: Final = 300.0
# Until the end of the transaction.
_SET_LIMITS: Final = text("""
    SELECT set_config('lock_timeout', :lock, true), set_config('statement_timeout', :statement, true)""")


def limit_waits(
    engine: Engine, *, lock_seconds: float = LOCK_SECONDS, statement_seconds: float = STATEMENT_SECONDS
) -> None:
    """In every transaction anew, because behind a pooler a session is not ours to change."""
    limits = {"lock": f"{round(lock_seconds * 1000)}ms", "statement": f"{round(statement_seconds * 1000)}ms"}

    def set_limits(conn: Connection) -> None:
        # VACUUM runs outside transactions, and has limits of its own.
        if not conn.connection.driver_connection.autocommit:  # type: ignore[union-attr]
            conn.execute(_SET_LIMITS, limits)

    event.listen(engine, "begin", set_limits)
