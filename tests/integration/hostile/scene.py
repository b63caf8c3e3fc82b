"""A ledger in the middle of its life, seen by alice, who is up to no good. Bob is her neighbour."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Mapping

import psycopg

from contract.ids import UnitId
from coordinator.ledger import gradients
from tests.integration.classroom import (
    GRADIENT,
    PASSWORD,
    Classroom,
    claim,
    join,
    new_run,
    open_classroom,
    submission,
)
from tests.integration.hostile.fingerprint import Fingerprints
from tests.servers.databases import Database
from tests.servers.server import Login, connect
from worker import ledger
from worker.ledger import Lease


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    room: Classroom
    login: Login
    facts: Mapping[str, object]
    fingerprints: Fingerprints
    session: psycopg.Connection

    def written(self, statement: str) -> str:
        return re.sub(r"<([a-z_]+)>", lambda word: str(self.facts[word[1]]), statement)


@contextlib.contextmanager
def open_scene(database: Database) -> Iterator[Scene]:
    with contextlib.ExitStack() as stack:
        room = stack.enter_context(open_classroom(database))
        facts = _play(room)
        login = Login(role=database.role_name("alice"), password=PASSWORD)
        superuser = stack.enter_context(connect(database.superuser_url))
        session = stack.enter_context(psql(database, login))
        facts |= _surroundings(room, superuser)
        yield Scene(room=room, login=login, facts=facts, fingerprints=Fingerprints(superuser), session=session)


def psql(
    database: Database, login: Login, *, autocommit: bool = True, elsewhere: str | None = None
) -> psycopg.Connection:
    """A session that no code of ours stands before. Without autocommit the first statement opens a transaction."""
    return psycopg.connect(
        host=database.server.host,
        port=database.server.port,
        dbname=elsewhere or database.name,
        user=login.role,
        password=login.password,
        autocommit=autocommit,
        connect_timeout=10,
        prepare_threshold=None,
    )


def _play(room: Classroom) -> dict[str, object]:
    alice, bob = room.invite("alice"), room.invite("bob")
    joined, neighbour, idle, gone = join(alice), join(bob), join(alice, "idle"), join(alice, "gone")
    room.open_units(8)
    submitted, stale, mine, theirs, twice = (
        claim(alice, joined),
        claim(alice, joined),
        claim(alice, joined),
        claim(bob, neighbour),
        claim(alice, joined),
    )
    with alice.begin() as conn:
        ledger.submit(conn, lease=submitted, submission=submission(), last_part=GRADIENT)
        ledger.upload_part(conn, lease=mine, part=0, content=GRADIENT)
        ledger.upload_part(conn, lease=stale, part=0, content=GRADIENT)
        ledger.release(conn, lease=twice, reason="closing the lid")
        ledger.release(conn, lease=stale, reason="closing the lid")
        ledger.leave(conn, worker=gone.worker, reason="good night")
    with bob.begin() as conn:
        ledger.upload_part(conn, lease=theirs, part=0, content=GRADIENT)
    again = claim(alice, joined)
    assert again.unit == stale.unit
    rejected = claim(alice, joined)
    with alice.begin() as conn:
        gradient = ledger.submit(conn, lease=rejected, submission=submission(), last_part=GRADIENT)
    with room.owner.begin() as conn:
        gradients.reject(conn, gradient=gradient, verdict="too long a step")
    return {
        "worker": joined.worker,
        "idle_worker": idle.worker,
        "gone_worker": gone.worker,
        "their_worker": neighbour.worker,
        "num_bytes": len(GRADIENT),
        "run_name": new_run().name,
        **_of("", mine),
        **_of("their_", theirs),
        **_of("submitted_", submitted),
        **_of("stale_", stale),
        **_of("released_", twice),
        **_of("rejected_", rejected),
        "no_unit": UnitId(10**9),
    }


def _of(prefix: str, lease: Lease) -> dict[str, object]:
    return {f"{prefix}unit": lease.unit, f"{prefix}attempt": lease.attempt, f"{prefix}token": lease.token}


def _surroundings(room: Classroom, superuser: psycopg.Connection) -> dict[str, object]:
    with room.owner.begin() as conn:
        (owner_pid,) = conn.exec_driver_sql("SELECT pg_backend_pid()").one()
    row = superuser.execute("SELECT oid FROM pg_class WHERE relname = 'work_units_id_seq'").fetchone()
    assert row is not None
    database = room.database
    return {
        "owner_pid": owner_pid,
        "superuser_pid": superuser.info.backend_pid,
        "sequence": row[0],
        "database": database.name,
        "owner": database.owner.role,
        "superuser": superuser.info.user,
        "me": database.role_name("alice"),
        "everybody": database.role_name("ALL"),
        "them": database.role_name("bob"),
    }
