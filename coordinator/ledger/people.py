"""Volunteers: one login role each, which may execute the volunteers' functions and read the views, nothing else."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, text

from contract.errors import InvitationError
from coordinator.ledger import logins

PLAIN_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")
_GROUP: Final = "barnraise_volunteers"

_FIND = text("SELECT name, role_name, revoked_at FROM ledger.volunteers WHERE name = :name")
_ADD = text("""
    INSERT INTO ledger.volunteers (name, display_name, role_name, max_workers)
    VALUES (:name, :display_name, :role, :max_workers)
    ON CONFLICT (name) DO UPDATE
       SET revoked_at = NULL, invited_at = now(), display_name = coalesce(:display_name, volunteers.display_name),
           max_workers = :max_workers""")
_LOG = text("""
    INSERT INTO ledger.events (subject, subject_id, new_state, reason)
    SELECT 'volunteer', id, :state, name FROM ledger.volunteers WHERE name = :name""")
_REVOKE = text("UPDATE ledger.volunteers SET revoked_at = now() WHERE name = :name AND revoked_at IS NULL")
# SKIP LOCKED: another volunteer's open transaction may be taking over a lease that is over anyway.
_RETURN_UNITS = text("""
    UPDATE ledger.work_units u
       SET state = 'open', state_reason = 'its volunteer was revoked', lease_token = NULL, lease_expires_at = NULL
      FROM (SELECT u.id FROM ledger.work_units u JOIN ledger.workers w ON u.worker_id = w.id AND u.run_id = w.run_id
             WHERE w.role_name = :role AND u.state = 'leased'
               FOR UPDATE OF u SKIP LOCKED) held
     WHERE u.id = held.id""")
_SEND_WORKERS_AWAY = text("""
    UPDATE ledger.workers SET left_at = now(), left_reason = 'revoked' WHERE role_name = :role AND left_at IS NULL""")
_ROSTER = text("""
    SELECT v.name, v.display_name, v.invited_at, v.revoked_at,
           count(w.id) FILTER (WHERE w.left_at IS NULL
                                 AND h.at > now() - 3 * r.heartbeat_seconds * interval '1 second') AS num_workers,
           max(h.at) AS last_seen_at
      FROM ledger.volunteers v
      LEFT JOIN ledger.workers w ON w.volunteer_id = v.id
      LEFT JOIN ledger.runs r ON r.id = w.run_id
      LEFT JOIN ledger.heartbeats h ON h.worker_id = w.id
     GROUP BY v.id ORDER BY v.name""")
# In whatever database of the server: elsewhere they would hold connections and burn CPU just as well.
# A slow network is no misbehaviour: while a statement waits for the line, down or up, ten times the limit.
# The statement counts beside its transaction: a DO block that commits in a loop is never in one transaction for long.
_OVERSTAYING = text("""
    SELECT s.pid, s.name, s.offence, s.seconds
      FROM (SELECT a.pid, coalesce(v.name, a.usename) AS name,
                   CASE WHEN a.state LIKE 'idle in transaction%'
                             AND a.state_change < now() - make_interval(secs => :idle_seconds)
                        THEN 'idle in an open transaction'
                        WHEN least(a.xact_start, CASE WHEN a.state = 'active' THEN a.query_start END)
                             < now() - make_interval(secs => :transaction_seconds
                                   * CASE WHEN a.state = 'active' AND a.wait_event IN ('ClientWrite', 'ClientRead')
                                          THEN 10 ELSE 1 END)
                        THEN 'in one transaction or statement too long' END AS offence,
                   extract(epoch FROM now() - least(a.xact_start, a.query_start))::double precision AS seconds
              FROM pg_stat_activity a
              LEFT JOIN ledger.volunteers v ON v.role_name = a.usename
             -- Observers too. Whoever made the group is a member of it as well, and that is the coordinator.
             WHERE v.id IS NOT NULL
                OR a.usename <> current_user AND a.usesysid IN (
                   SELECT m.member FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
                    WHERE g.rolname = :all_here)) s
     WHERE s.offence IS NOT NULL""")
_END_SESSION = text("SELECT pg_terminate_backend(:pid)")
# Who keeps a session of ours waiting for a lock. Of strangers the server tells no more than their login.
_HOLDING_UP = text("""
    SELECT DISTINCT b.pid, b.usename AS login, v.name AS volunteer,
           extract(epoch FROM now() - b.xact_start)::double precision AS seconds
      FROM (SELECT pid FROM pg_stat_activity
             WHERE datname = current_database() AND usename = current_user AND wait_event_type = 'Lock') waiting
     CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocker (pid)
      JOIN pg_stat_activity b ON b.pid = blocker.pid
      LEFT JOIN ledger.volunteers v ON v.role_name = b.usename
     WHERE NOT coalesce(b.usename = current_user AND b.application_name = 'barnraise coordinator', false)
     ORDER BY b.pid""")
_NOTIFICATIONS_WAITING = text("SELECT pg_notification_queue_usage()")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What an invited person needs to log in."""

    name: str
    role: str
    password: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RosterLine:
    name: str
    display_name: str | None
    invited_at: datetime.datetime
    revoked_at: datetime.datetime | None
    num_workers: int
    last_seen_at: datetime.datetime | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Overstaying:
    pid: int
    volunteer: str
    offence: str
    seconds: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HoldingUp:
    """A session whose lock a session of ours waits for. `volunteer` is None for anybody else, and how long their
    transaction has lasted is not told of everybody."""

    pid: int
    login: str
    volunteer: str | None
    seconds: float | None


def invite(
    conn: Connection,
    *,
    name: str,
    password: str,
    display_name: str | None = None,
    connection_limit: int = 8,
    max_workers: int = 16,
    transaction_seconds: int = 60,
    idle_transaction_seconds: int = 30,
    renew: bool = False,
) -> Admission:
    """Makes the login, or opens a revoked one again."""
    if not PLAIN_NAME.fullmatch(name):
        raise InvitationError(
            f"{name!r} cannot be a volunteer's name; use up to 40 small letters, digits, '.', '-' and '_'"
        )
    known = conn.execute(_FIND, {"name": name}).one_or_none()
    role = logins.role_here(conn, name) if known is None else str(known.role_name)
    if known is not None and known.revoked_at is None and not renew:
        raise InvitationError(f"{name} is invited already; `coordinator invite --renew {name}` makes a new password")
    if known is None and logins.exists(conn, role=role):
        raise InvitationError(f"the server has a role {role!r} that this ledger did not make; choose another name")
    limits = logins.Limits(
        connections=connection_limit,
        transaction_seconds=transaction_seconds,
        idle_transaction_seconds=idle_transaction_seconds,
    )
    logins.make_login(conn, role=role, password=password, group=_GROUP, limits=limits)
    conn.execute(_ADD, {"name": name, "display_name": display_name, "role": role, "max_workers": max_workers})
    conn.execute(_LOG, {"name": name, "state": "invited"})
    return Admission(name=name, role=role, password=password)


def shut_out(conn: Connection, *, name: str) -> str:
    """The first half of a revocation, to be committed at once: no new session. Answers with the role."""
    known = conn.execute(_FIND, {"name": name}).one_or_none()
    if known is None:
        raise InvitationError(f"nobody named {name!r} is on the roster; `coordinator roster` lists it")
    logins.close_login(conn, role=known.role_name, group=_GROUP)
    return str(known.role_name)


def record_revocation(conn: Connection, *, name: str, role: str) -> None:
    """The second half, when no session of theirs can hold a row any more: workers leave, units return."""
    conn.execute(_RETURN_UNITS, {"role": role})
    conn.execute(_SEND_WORKERS_AWAY, {"role": role})
    conn.execute(_REVOKE, {"name": name})
    conn.execute(_LOG, {"name": name, "state": "revoked"})


def roster(conn: Connection) -> list[RosterLine]:
    return [
        RosterLine(
            name=row.name,
            display_name=row.display_name,
            invited_at=row.invited_at,
            revoked_at=row.revoked_at,
            num_workers=row.num_workers,
            last_seen_at=row.last_seen_at,
        )
        for row in conn.execute(_ROSTER)
    ]


def overstaying(conn: Connection, *, transaction_seconds: float, idle_seconds: float) -> Sequence[Overstaying]:
    limits = {"transaction_seconds": transaction_seconds, "idle_seconds": idle_seconds}
    rows = conn.execute(_OVERSTAYING, {**limits, "all_here": logins.all_here(conn)})
    return [Overstaying(pid=row.pid, volunteer=row.name, offence=row.offence, seconds=row.seconds) for row in rows]


def holding_up(conn: Connection) -> Sequence[HoldingUp]:
    return [
        HoldingUp(pid=row.pid, login=row.login or "the server itself", volunteer=row.volunteer, seconds=row.seconds)
        for row in conn.execute(_HOLDING_UP)
    ]


def share_of_notifications_waiting(conn: Connection) -> float:
    """Of the server's queue, which holds what any listener has not read yet. When it is full, no NOTIFY is committed
    any more, on the whole server."""
    return float(conn.execute(_NOTIFICATIONS_WAITING).scalar_one())


def end_session(conn: Connection, *, pid: int) -> bool:
    return bool(conn.execute(_END_SESSION, {"pid": pid}).scalar_one())
