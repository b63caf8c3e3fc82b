"""A volunteer who holds what they can hold, or burns what they can burn, stops nobody.

Every statement of the others runs with a lock timeout, so whoever had to wait for the volunteer fails here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import uuid
from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy import Connection, Engine, event, text

from contract.database import engine_for
from contract.errors import DatabaseUnreachable, TooManyConnections
from contract.ids import UnitId, Version
from contract.states import RunState
from coordinator.duties.police import Police
from coordinator.duties.reap import Reap
from coordinator.ledger import gradients, people, runs, units
from tests.integration.classroom import GRADIENT, PASSWORD, Classroom, claim, classroom, join, submission
from tests.integration.hostile.scene import psql
from tests.servers.server import Login
from tests.waiting import wait_until
from worker import ledger
from worker.ledger import Joined, Lease

__all__ = ["classroom"]

SHORT = 0.2
LONG = 600.0
BURN = "SELECT count(*) FROM generate_series(1, 1000000000) a, generate_series(1, 1000000000) b"


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
    coordinator = engine_for(classroom.database.url(), application="test")
    event.listen(coordinator, "connect", lambda raw, _: raw.execute("SET lock_timeout = '2s'"))
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


@pytest.mark.parametrize("what", HELD)
def test_a_transaction_held_open_stops_nobody(hood: Neighbourhood, what: str) -> None:
    with hood.mallory.connect() as held:
        HELD[what](hood, held)
        _everybody_else_works(hood)
        held.rollback()


def test_an_advisory_lock_stops_nobody(hood: Neighbourhood, superuser_connection: Connection) -> None:
    """As on a server whose administrator took nothing back."""
    superuser_connection.execute(text("GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint) TO PUBLIC"))
    with hood.mallory.connect() as held:
        held.execute(text("SELECT pg_advisory_lock(n) FROM generate_series(-500, 500) n")).all()
        _everybody_else_works(hood)


def test_the_volunteer_who_holds_their_own_login_is_revoked_all_the_same(hood: Neighbourhood) -> None:
    with hood.mallory.connect() as held:
        HELD["my own password"](hood, held)
        with hood.coordinator.begin() as conn:
            role = people.shut_out(conn, name="mallory")
        _end(hood, role)
        with hood.coordinator.begin() as conn:
            people.record_revocation(conn, name="mallory", role=role)
        held.invalidate()
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        psql(hood.room.database, hood.login)
    assert _state(hood, hood.lease.unit) == "open"


def test_a_lease_that_another_is_just_taking_over_does_not_stop_a_revocation(hood: Neighbourhood) -> None:
    with hood.coordinator.begin() as conn:
        conn.execute(
            text("UPDATE ledger.work_units SET leased_at = now() - interval '2 h', lease_expires_at = now() - interval '1 h'"
                 " WHERE id = :unit"), {"unit": hood.lease.unit})  # fmt: skip
        units.cancel_overtaken(conn, run=hood.room.run, version=Version(-1), reason="nothing")
        conn.execute(text("UPDATE ledger.work_units SET state = 'cancelled', finished_at = now() WHERE state = 'open'"))
    with hood.bob.connect() as held:
        taken = ledger.claim(held, worker=hood.bobs.worker)
        assert taken is not None
        assert taken.unit == hood.lease.unit
        with hood.coordinator.begin() as conn:
            role = people.shut_out(conn, name="mallory")
        _end(hood, role)
        with hood.coordinator.begin() as conn:
            people.record_revocation(conn, name="mallory", role=role)
        held.commit()
    assert _state(hood, hood.lease.unit) == "leased"


def test_connections_end_at_the_limit_of_the_login(hood: Neighbourhood) -> None:
    with contextlib.ExitStack() as open_connections:
        engine = engine_for(hood.room.database.url(hood.login), application="test")
        open_connections.callback(engine.dispose)
        hood.mallory.dispose()
        for _ in range(8):
            open_connections.enter_context(engine.connect())
        another = engine_for(hood.room.database.url(hood.login), application="test")
        with pytest.raises(TooManyConnections):
            another.connect()
        _everybody_else_works(hood)


@pytest.mark.parametrize("what", HELD)
def test_the_police_end_the_session_that_holds_a_transaction_and_no_other(hood: Neighbourhood, what: str) -> None:
    with hood.mallory.connect() as held, hood.bob.connect() as innocent:
        innocent.execute(text("SELECT 1"))
        innocent.rollback()
        HELD[what](hood, held)
        ended = _police_until_ended(hood, idle_seconds=SHORT, transaction_seconds=LONG)
        assert [(session.volunteer, session.offence) for session in ended] == [
            ("mallory", "idle in an open transaction")
        ]
        with pytest.raises(DatabaseUnreachable):
            held.execute(text("SELECT 1"))
        held.invalidate()
        assert innocent.execute(text("SELECT 1")).scalar_one() == 1
    _everybody_else_works(hood)


@pytest.mark.parametrize(
    "burning",
    [BURN, "DO 'BEGIN LOOP PERFORM count(*) FROM generate_series(1, 1000); COMMIT; END LOOP; END'"],
    ids=["one statement", "a block that commits in a loop"],
)
def test_the_police_end_a_session_that_burns_the_processor(hood: Neighbourhood, burning: str) -> None:
    with _in_background(hood, burning) as outcome:
        _everybody_else_works(hood)
        ended = _police_until_ended(hood, idle_seconds=LONG, transaction_seconds=SHORT)
    assert [session.volunteer for session in ended] == ["mallory"]
    assert [error.sqlstate for error in outcome] == ["57P01"]


def test_the_police_look_into_every_database_of_the_server(hood: Neighbourhood) -> None:
    elsewhere = hood.room.database.server.admin.database
    with _in_background(hood, BURN, elsewhere=elsewhere) as outcome:
        ended = _police_until_ended(hood, idle_seconds=LONG, transaction_seconds=SHORT)
    assert [session.volunteer for session in ended] == ["mallory"]
    assert [error.sqlstate for error in outcome] == ["57P01"]


def test_a_slow_download_has_ten_times_as_long(hood: Neighbourhood) -> None:
    with psql(hood.room.database, hood.login) as slow:
        pid = slow.info.backend_pid
        slow.pgconn.send_query(b"SELECT repeat('x', 1000000) FROM generate_series(1, 1000)")
        _wait_for(hood, f"SELECT pid FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'ClientWrite'"
                        f" AND query_start < clock_timestamp() - interval '{2 * SHORT} seconds'")  # fmt: skip
        police = Police(engine=hood.coordinator, transaction_seconds=SHORT, idle_seconds=SHORT)
        assert police.run_once().ended == ()
        (ended,) = _police_until_ended(hood, idle_seconds=SHORT, transaction_seconds=SHORT)
        assert ended.pid == pid
        assert ended.seconds >= 10 * SHORT


def test_the_unit_of_a_session_that_was_ended_goes_on(hood: Neighbourhood) -> None:
    with hood.mallory.connect() as held:
        HELD["upload_part"](hood, held)
        _police_until_ended(hood, idle_seconds=SHORT, transaction_seconds=LONG)
        held.invalidate()
    with hood.coordinator.begin() as conn:
        conn.execute(
            text("UPDATE ledger.work_units SET leased_at = now() - interval '2 h', lease_expires_at = now() - interval '1 h'"
                 " WHERE id = :unit"), {"unit": hood.lease.unit})  # fmt: skip
    assert Reap(engine=hood.coordinator, run=hood.room.run).run_once().reopened == (hood.lease.unit,)
    assert claim(hood.bob, hood.bobs).unit == hood.lease.unit


def _everybody_else_works(hood: Neighbourhood) -> None:
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
    head = runs.find_run(conn, name="class").head_version
    assert head is not None
    number = Version(head + 1)
    new = runs.NewVersion(number=number, parent=head, manifest={}, optimizer_step=1, parts=[b"weights"])
    runs.publish_version(conn, run=hood.room.run, new=new)
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


def _police_until_ended(
    hood: Neighbourhood, *, idle_seconds: float, transaction_seconds: float
) -> tuple[people.Overstaying, ...]:
    police = Police(engine=hood.coordinator, transaction_seconds=transaction_seconds, idle_seconds=idle_seconds)
    ended = wait_until(lambda: police.run_once().ended, what="an arrest")
    _wait_for(hood, f"SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {ended[0].pid})")
    return ended


def _wait_for(hood: Neighbourhood, query: str) -> None:
    def answer() -> object:
        with hood.coordinator.begin() as conn:
            return conn.exec_driver_sql(query).scalar_one_or_none()

    wait_until(answer, what=query)


def _end(hood: Neighbourhood, role: str) -> None:
    def none_left() -> bool:
        with hood.coordinator.begin() as conn:
            people.end_sessions(conn, role=role)
            return people.count_sessions(conn, role=role) == 0

    wait_until(none_left, what="the end of their sessions")


def _state(hood: Neighbourhood, unit: UnitId) -> str:
    with hood.coordinator.begin() as conn:
        return str(conn.execute(text("SELECT state FROM ledger.work_units WHERE id = :unit"), {"unit": unit}).scalar_one())


@contextlib.contextmanager
def _in_background(
    hood: Neighbourhood, statement: str, *, elsewhere: str | None = None
) -> Iterator[list[psycopg.Error]]:
    """Runs until the server ends it; what it died of is in the list then."""
    outcome: list[psycopg.Error] = []
    connection = psql(hood.room.database, hood.login, elsewhere=elsewhere)

    def run() -> None:
        try:
            connection.execute("SET statement_timeout = 0")
            connection.execute(statement.encode())
        except psycopg.Error as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        _wait_for(hood, f"SELECT pid FROM pg_stat_activity WHERE pid = {connection.info.backend_pid} AND state = 'active'"
                        " AND NOT starts_with(query, 'SET')")  # fmt: skip
        yield outcome
        thread.join(10)
        assert not thread.is_alive()
    finally:
        connection.close()
