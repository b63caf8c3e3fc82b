"""Observers: a login each that may read the views of schema `watch`, and nothing else. They take no part in a run."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

from contract.errors import InvitationError
from coordinator.ledger import logins
from coordinator.ledger.people import PLAIN_NAME, Admission

_GROUP: Final = "barnraise_observers"
# In capitals, as no volunteer's name is: an observer and a volunteer may both be called ada.
_PREFIX: Final = "OBSERVER_"

_LOG = text("""
    INSERT INTO ledger.events (subject, new_state, reason) VALUES ('observer', :state, :name)""")
_IS_OPEN = text("SELECT rolcanlogin FROM pg_roles WHERE rolname = :role")
# One who may use the ledger's own schema is the coordinator, or a superuser.
_ONLY_LOOKS = text("SELECT NOT has_schema_privilege('ledger', 'USAGE')")


def admit(conn: Connection, *, name: str, password: str, limits: logins.Limits, renew: bool = False) -> Admission:
    """Makes the login, or opens a revoked one again."""
    if not PLAIN_NAME.fullmatch(name):
        raise InvitationError(
            f"{name!r} cannot be an observer's name; use up to 40 small letters, digits, '.', '-' and '_'"
        )
    if is_admitted(conn, name=name) and not renew:
        raise InvitationError(f"{name} may look already; `coordinator observe --renew {name}` makes a new password")
    role = role_of(conn, name)
    logins.make_login(conn, role=role, password=password, group=_GROUP, limits=limits)
    conn.execute(_LOG, {"name": name, "state": "invited"})
    return Admission(name=name, role=role, password=password)


def shut_out(conn: Connection, *, name: str) -> str:
    """No new session, to be committed at once. Answers with the role, whose last sessions are ended after that."""
    if not is_admitted(conn, name=name):
        raise InvitationError(f"no observer is named {name!r}")
    role = role_of(conn, name)
    logins.close_login(conn, role=role, group=_GROUP)
    conn.execute(_LOG, {"name": name, "state": "revoked"})
    return role


def is_admitted(conn: Connection, *, name: str) -> bool:
    return bool(conn.execute(_IS_OPEN, {"role": role_of(conn, name)}).scalar_one_or_none())


def role_of(conn: Connection, name: str) -> str:
    return logins.role_here(conn, _PREFIX + name)


def only_looks(conn: Connection) -> bool:
    """Whether the login of this connection is an observer's or a volunteer's, and no coordinator's."""
    return bool(conn.execute(_ONLY_LOOKS).scalar_one())
