"""Mallory, who holds what she can hold; bob, who works; and all that the coordinator does meanwhile."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, Engine, text

from contract.database import engine_for
from contract.ids import UnitId, Version
from contract.states import RunState
from coordinator.ledger import gradients, people, runs, units, versions
from tests.integration.classroom import GRADIENT, PASSWORD, Classroom, claim, classroom, join, submission
from tests.servers.server import Login
from worker import ledger
from worker.ledger import Joined, Lease

__all__ = ["classroom", "hood"]

LONG = 600.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Neighbourhood:
    """Mallory is up to no good, bob works, and the coordinator's statements give up after two seconds."""

    room: Classroom
    coordinator: Engine
    mallory: Engine
    bob: Engine
    joined: Joined
    lease: Lease
    bobs: Joined
    submitted: tuple[int, int]
    login: Login


@pytest.fixture
def hood(classroom: Classroom) -> Iterator[Neighbourhood]:
    mallory, bob, _ = classroom.invite("mallory"), classroom.invite("bob"), classroom.invite("carol")
    joined, bobs = join(mallory), join(bob)
    classroom.open_units(8, planned_version=Version(0))
    lease = claim(mallory, joined)
    ids = []
    for _ in range(2):
        with bob.begin() as conn:
            theirs = ledger.claim(conn, worker=bobs.worker)
            assert theirs is not None
            ids.append(ledger.submit(conn, lease=theirs, submission=submission(), last_part=GRADIENT))
    impatient = classroom.database.url().update_query_dict({"options": "-c lock_timeout=2s"})
    coordinator = engine_for(impatient, application="test")
    yield Neighbourhood(
        room=classroom,
        coordinator=coordinator,
        mallory=mallory,
        bob=bob,
        joined=joined,
        lease=lease,
        bobs=bobs,
        submitted=(ids[0], ids[1]),
        login=Login(role=classroom.database.role_name("mallory"), password=PASSWORD),
    )
    coordinator.dispose()


def _claims(hood: Neighbourhood, conn: Connection) -> None:
    ledger.claim(conn, worker=hood.joined.worker)


def _uploads(hood: Neighbourhood, conn: Connection) -> None:
    ledger.upload_part(conn, lease=hood.lease, part=0, content=GRADIENT)


def _beats(hood: Neighbourhood, conn: Connection) -> None:
    ledger.heartbeat(conn, worker=hood.joined.worker, leases=[hood.lease], phase="computing")


def _submits(hood: Neighbourhood, conn: Connection) -> None:
    ledger.submit(conn, lease=hood.lease, submission=submission(), last_part=GRADIENT)


def _releases(hood: Neighbourhood, conn: Connection) -> None:
    ledger.release(conn, lease=hood.lease, reason="no", failed=True)


def _leaves(hood: Neighbourhood, conn: Connection) -> None:
    ledger.leave(conn, worker=hood.joined.worker, reason="no")


def _joins(hood: Neighbourhood, conn: Connection) -> None:
    ledger.join(conn, run="class", name="more", host="host", device="cpu", capabilities={}, software={})


def _looks(hood: Neighbourhood, conn: Connection) -> None:
    for view in ("progress", "workers", "units", "gradients", "events", "schema_revision"):
        conn.execute(text(f"LOCK TABLE watch.{view} IN ACCESS SHARE MODE"))
        conn.execute(text(f"SELECT * FROM watch.{view}")).all()


def _says(*statements: str) -> Callable[[Neighbourhood, Connection], None]:
    def act(hood: Neighbourhood, conn: Connection) -> None:
        for statement in statements:
            conn.exec_driver_sql(statement.format(me=hood.login.role, database=hood.room.database.name))

    return act


HELD: dict[str, Callable[[Neighbourhood, Connection], None]] = {
    "join": _joins,
    "claim": _claims,
    "upload_part": _uploads,
    "heartbeat": _beats,
    "submit": _submits,
    "release": _releases,
    "leave": _leaves,
    "a look at every view": _looks,
    "nothing at all": _says("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM watch.units"),
    "my own password": _says("ALTER ROLE \"{me}\" PASSWORD 'mine'", 'ALTER ROLE "{me}" SET work_mem = 64'),
    "grants of nothing": _says(
        'GRANT CONNECT ON DATABASE "{database}" TO PUBLIC',
        "GRANT USAGE ON SCHEMA volunteer, watch TO PUBLIC",
        "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA volunteer TO PUBLIC",
        "GRANT SELECT ON ALL TABLES IN SCHEMA watch TO PUBLIC",
    ),
    "drops of nothing": _says("DROP OWNED BY CURRENT_USER, barnraise_volunteers CASCADE"),
    "5,000 notifications": _says(
        "LISTEN barnraise", "SELECT pg_notify('barnraise', n || repeat('x', 7000)) FROM generate_series(1, 5000) n"
    ),
    "no limits": _says("SET statement_timeout = 0", "SET idle_in_transaction_session_timeout = 0", "SELECT 1"),
}


def everybody_else_works(hood: Neighbourhood) -> None:
    for name, statement in _COORDINATOR.items():
        with hood.coordinator.begin() as conn:
            conn.exec_driver_sql(f"/* {name} */ SELECT 1")
            statement(hood, conn)
    gradients.reclaim_space(hood.coordinator)
    hood.room.open_units(2)
    with hood.bob.begin() as conn:
        conn.execute(text("SET LOCAL lock_timeout = '2s'"))
        lease = ledger.claim(conn, worker=hood.bobs.worker)
        assert lease is not None
        ledger.heartbeat(conn, worker=hood.bobs.worker, leases=[lease], phase="computing")
        ledger.submit(conn, lease=lease, submission=submission(), last_part=GRADIENT)


def _publishes(hood: Neighbourhood, conn: Connection) -> None:
    head = runs.read_run(conn, name="class").head_version
    assert head is not None
    number = Version(head + 1)
    new = versions.NewVersion(number=number, parent=head, manifest="{}", optimizer_step=1, parts=[b"weights"])
    versions.publish_version(conn, run=hood.room.run, new=new)
    waiting = gradients.waiting_gradients(conn, run=hood.room.run)
    if waiting:
        gradients.mark_merged(conn, run=hood.room.run, version=number, gradients=[waiting[0].gradient], weights=[1.0])
    units.cancel_overtaken(conn, run=hood.room.run, version=head, reason=f"version {number} is out")


def _rejects(hood: Neighbourhood, conn: Connection) -> None:
    for waiting in gradients.waiting_gradients(conn, run=hood.room.run):
        gradients.reject(conn, gradient=waiting.gradient, verdict="no")


def _revokes_carol(hood: Neighbourhood, conn: Connection) -> None:
    role = people.shut_out(conn, name="carol")
    people.record_revocation(conn, name="carol", role=role)


def _pauses(hood: Neighbourhood, conn: Connection) -> None:
    for state in (RunState.PAUSED, RunState.RUNNING):
        runs.set_run_state(conn, run=hood.room.run, state=state)


# In this order; each in a transaction of its own.
_COORDINATOR: dict[str, Callable[[Neighbourhood, Connection], object]] = {
    "publish, merge, cancel": _publishes,
    "reject": _rejects,
    "reap": lambda hood, conn: units.reap(conn, run=hood.room.run),
    "discard stale uploads": lambda hood, conn: gradients.discard_stale_uploads(conn, run=hood.room.run),
    "raise the claim floor": lambda hood, conn: runs.raise_claim_floor(conn, run=hood.room.run),
    "forget blobs": lambda hood, conn: gradients.forget_blobs(conn, run=hood.room.run, up_to=Version(10**6)),
    "pause and go on": _pauses,
    "lead": lambda hood, conn: runs.lead(conn, run=hood.room.run, holder=uuid.UUID(int=1), host="h", lease_seconds=60),
    "roster": lambda hood, conn: people.roster(conn),
    "police's look": lambda hood, conn: people.overstaying(conn, transaction_seconds=LONG, idle_seconds=LONG),
    "invite somebody new": lambda hood, conn: people.invite(conn, name=f"n{uuid.uuid4().hex[:8]}", password=PASSWORD),
    "renew somebody else": lambda hood, conn: people.invite(conn, name="carol", password=PASSWORD, renew=True),
    "revoke somebody else": _revokes_carol,
}


def let_lapse(hood: Neighbourhood, unit: UnitId) -> None:
    with hood.coordinator.begin() as conn:
        conn.execute(
            text("""UPDATE ledger.work_units SET leased_at = now() - interval '2 hours',
                           lease_expires_at = now() - interval '1 hour' WHERE id = :unit"""),
            {"unit": unit},
        )
