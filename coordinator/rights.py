"""What the coordinator's database user may do, and what it lacks."""

from __future__ import annotations

import dataclasses
from typing import Final

from sqlalchemy import Connection, text

from contract.database import check_schema
from contract.errors import DatabaseError
from coordinator.ledger import logins
from coordinator.ledger.logins import Guest
from coordinator.place import Place

_RIGHTS = text("""
    SELECT current_setting('server_version') AS version, current_user AS name, current_database() AS database,
           rolsuper AS is_superuser, rolsuper OR rolcreaterole AS may_make_roles,
           pg_has_role(d.datdba, 'MEMBER') AS owns_database,
           rolsuper OR (rolcreaterole AND current_setting('server_version_num')::integer < 160000)
           OR NOT EXISTS (SELECT FROM pg_roles r
                           WHERE r.rolname IN ('barnraise_volunteers', 'barnraise_observers')
                             AND NOT pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION')) AS may_admit,
           has_function_privilege('public', 'lo_create(oid)', 'EXECUTE') AS anybody_makes_large_objects,
           current_setting('max_prepared_transactions')::integer AS max_prepared_transactions
      FROM pg_roles, pg_database d
     WHERE rolname = current_user AND d.datname = current_database()""")


_GUESTS_RUN: Final = {
    Guest.VOLUNTEER: "a volunteer runs `worker join`",
    Guest.OBSERVER: "an observer looks, with `coordinator status` or `coordinator top`",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    good: bool
    text: str


def refusal_of_guest(conn: Connection) -> str | None:
    """Whoever was invited lacks no right: they took the wrong command, or the wrong file."""
    guest = logins.guest(conn)
    if guest is None:
        return None
    return (
        f"{conn.engine.url.username} is {'an' if guest is Guest.OBSERVER else 'a'} {guest}'s login; "
        f"this takes the configuration of the run's owner ({_GUESTS_RUN[guest]})"
    )


def findings(place: Place) -> list[Finding]:
    with place.engine.connect() as conn:
        refusal = refusal_of_guest(conn)
        if refusal is not None:
            return [Finding(good=False, text=refusal)]
        row = conn.execute(_RIGHTS).one()
        found = [
            Finding(good=True, text=f"PostgreSQL {row.version}, database {row.database}, user {row.name}"),
            Finding(
                good=row.may_make_roles,
                text=f"{row.name} may invite people"
                if row.may_make_roles
                else f'{row.name} may not make logins; ask for: ALTER ROLE "{row.name}" CREATEROLE;',
            ),
            Finding(
                good=row.may_admit,
                text=f"{row.name} may admit them to the volunteers"
                if row.may_admit
                else "another ledger on this server made the groups; ask for: "
                f'GRANT barnraise_volunteers, barnraise_observers TO "{row.name}" WITH ADMIN OPTION;',
            ),
            Finding(
                good=row.owns_database,
                text=f"{row.name} owns the database"
                if row.owns_database
                else f'{row.name} does not own it; ask for: ALTER DATABASE "{row.database}" OWNER TO "{row.name}";',
            ),
        ]
        if row.is_superuser:
            found.append(
                Finding(good=True, text="note: a superuser; volunteers' functions run as it, a plain role is safer")
            )
        if row.anybody_makes_large_objects:
            found.append(
                Finding(
                    good=True,
                    text="note: any login may make large objects and take advisory locks here; only an administrator "
                    "can take that back (docs/reference/sql-functions.md says how)",
                )
            )
        if row.max_prepared_transactions > 0:
            found.append(
                Finding(
                    good=True,
                    text=f"note: max_prepared_transactions is {row.max_prepared_transactions}; any login may leave a "
                    "prepared transaction behind, whose locks no end of a session frees. Ask for 0, unless another "
                    "program on this server needs it",
                )
            )
        try:
            check_schema(conn)
            found.append(Finding(good=True, text="the ledger's schema is this release's"))
        except DatabaseError as error:
            found.append(Finding(good=False, text=str(error)))
    return found
