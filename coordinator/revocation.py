"""Takes an invitation back: no new session, no old one, no lease."""

from __future__ import annotations

from contract.errors import InvitationError
from coordinator.ledger import logins, people
from coordinator.place import Place


def revoke(place: Place, *, name: str) -> None:
    with place.engine.begin() as conn:
        role = people.shut_out(conn, name=name)
    if not logins.end_every_session(place.engine, role=role):
        raise InvitationError(
            f"{name} can no longer log in, but a session of theirs does not end; run `coordinator revoke {name}` again"
        )
    with place.engine.begin() as conn:
        people.record_revocation(conn, name=name, role=role)
