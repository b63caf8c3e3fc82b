"""Time is moved by the owner, who rewrites timestamps; no test waits for a lease to end."""

from __future__ import annotations

from sqlalchemy import Connection, text

from contract.ids import UnitId, WorkerId

_EXPIRE = text("""
    UPDATE ledger.work_units
       SET leased_at = now() - interval '10 minutes', lease_expires_at = now() - interval '1 second'
     WHERE id = :unit""")
_OUTLAST = text("UPDATE ledger.work_units SET leased_at = now() - interval '1 day' WHERE id = :unit")
_SILENCE = text("""
    UPDATE ledger.heartbeats
       SET at = now() - interval '1 hour', leases_until = now() - interval '55 minutes' WHERE worker_id = :worker""")


def expire_lease(conn: Connection, unit: UnitId) -> None:
    """What the claim granted is over; a heartbeat may still cover the unit."""
    assert conn.execute(_EXPIRE, {"unit": unit}).rowcount == 1


def outlast_lease(conn: Connection, unit: UnitId) -> None:
    """The lease has lasted longer than any may."""
    assert conn.execute(_OUTLAST, {"unit": unit}).rowcount == 1


def silence(conn: Connection, worker: WorkerId) -> None:
    """Nothing was heard of the worker for an hour."""
    assert conn.execute(_SILENCE, {"worker": worker}).rowcount == 1
