"""How long a statement of the coordinator waits for others.

Any login may hold a lock in a transaction that it does not end; no duty may wait for that for ever. Nor may others wait
for a coordinator that says nothing any more.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, Engine, event, text

from coordinator.leadership import LEASE_SECONDS

# Who waits for longer than the lease has lost the run.
LOCK_SECONDS: Final = LEASE_SECONDS - 1
# Ours take milliseconds, the largest deletions seconds: what takes minutes is stuck.
STATEMENT_SECONDS: Final = 300.0
# Between two statements of a transaction. A machine that falls asleep there leaves its locks, the leader's row among
# them, to a server that waits for it; four megabytes on a slow line take half of this.
SILENT_SECONDS: Final = 60.0
# Until the end of the transaction.
_SET_LIMITS: Final = text("""
    SELECT set_config('lock_timeout', :lock, true), set_config('statement_timeout', :statement, true),
           set_config('idle_in_transaction_session_timeout', :silent, true)""")


def limit_waits(
    engine: Engine,
    *,
    lock_seconds: float = LOCK_SECONDS,
    statement_seconds: float = STATEMENT_SECONDS,
    silent_seconds: float = SILENT_SECONDS,
) -> None:
    """In every transaction anew, because behind a pooler a session is not ours to change."""
    limits = {
        name: f"{round(seconds * 1000)}ms"
        for name, seconds in (("lock", lock_seconds), ("statement", statement_seconds), ("silent", silent_seconds))
    }

    def set_limits(conn: Connection) -> None:
        # VACUUM runs outside transactions, and has limits of its own.
        if not conn.connection.driver_connection.autocommit:  # type: ignore[union-attr]
            conn.execute(_SET_LIMITS, limits)

    event.listen(engine, "begin", set_limits)
