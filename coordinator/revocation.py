"""Takes an invitation back: no new session, no old one, no lease."""

from __future__ import annotations

import time

from contract.errors import InvitationError
from coordinator.ledger import people
from coordinator.place import Place

_PATIENCE_SECONDS = 10.0


def revoke(place: Place, *, name: str) -> None:
    with place.engine.begin() as conn:
        role = people.shut_out(conn, name=name)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        with place.engine.begin() as conn:
            people.end_sessions(conn, role=role)
            if people.count_sessions(conn, role=role) == 0:
                people.record_revocation(conn, name=name, role=role)
                return
        if time.monotonic() > deadline:
            raise InvitationError(
                f"{name} can no longer log in, but a session of theirs does not end; "
                f"run `coordinator revoke {name}` again"
            )
        time.sleep(0.05)
