"""A volunteer who holds what they can hold, or burns what they can burn, stops nobody.

Every statement of the others runs with a lock timeout, so whoever had to wait for the volunteer fails here.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import Connection, text

from contract.database import engine_for
from contract.errors import DatabaseUnreachable, TooManyConnections
from contract.ids import UnitId
from coordinator.duties.police import Police, Report
from coordinator.duties.reap import Reap
from coordinator.ledger import logins, people
from tests.integration.classroom import claim, classroom
from tests.integration.hostile.neighbourhood import (
    HELD,
    LONG,
    Neighbourhood,
    everybody_else_works,
    hood,
    let_lapse,
)
from tests.integration.hostile.scene import psql
from tests.integration.two_at_once import blocked, open_transaction
from tests.waiting import wait_until
from worker import ledger

__all__ = ["classroom", "hood"]

SHORT = 0.2
BURN = "SELECT count(*) FROM generate_series(1, 1000000000) a, generate_series(1, 1000000000) b"


@pytest.mark.parametrize("what", HELD)
def test_a_transaction_held_open_stops_nobody(hood: Neighbourhood, what: str) -> None:
    with hood.mallory.connect() as held:
        HELD[what](hood, held)
        everybody_else_works(hood)
        held.rollback()


def test_an_advisory_lock_stops_nobody(hood: Neighbourhood, superuser_connection: Connection) -> None:
    """As on a server whose administrator took nothing back."""
    superuser_connection.execute(text("GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint) TO PUBLIC"))
    with hood.mallory.connect() as held:
        held.execute(text("SELECT pg_advisory_lock(n) FROM generate_series(-500, 500) n")).all()
        everybody_else_works(hood)


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
    let_lapse(hood, hood.lease.unit)
    with hood.coordinator.begin() as conn:
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
        everybody_else_works(hood)


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
    everybody_else_works(hood)


@pytest.mark.parametrize(
    "burning",
    [BURN, "DO 'BEGIN LOOP PERFORM count(*) FROM generate_series(1, 1000); COMMIT; END LOOP; END'"],
    ids=["one statement", "a block that commits in a loop"],
)
def test_the_police_end_a_session_that_burns_the_processor(hood: Neighbourhood, burning: str) -> None:
    with _in_background(hood, burning) as outcome:
        everybody_else_works(hood)
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
    with contextlib.closing(psql(hood.room.database, hood.login)) as slow:
        pid = slow.info.backend_pid
        slow.pgconn.send_query(b"SELECT repeat('x', 1000000) FROM generate_series(1, 1000)")
        limit = wait_until(lambda: _seconds_waiting(hood, pid), what="a line that is full") / 2
        police = Police(engine=hood.coordinator, transaction_seconds=limit, idle_seconds=SHORT)
        assert police.run_once().ended == ()
        assert police.run_once().ended == ()
        (ended,) = _police_until_ended(hood, idle_seconds=SHORT, transaction_seconds=limit)
        assert ended.pid == pid
        assert ended.seconds >= 10 * limit


def _seconds_waiting(hood: Neighbourhood, pid: int) -> float:
    """Since its statement began; 0 where it did not wait for its line all along.

    Whatever lies between fills up in fits and starts: a container's proxy takes megabytes of its own.
    """
    waiting = f"""SELECT coalesce(max(extract(epoch FROM clock_timestamp() - query_start)), 0)::double precision
                    FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'ClientWrite'"""
    seconds = 0.0
    for _ in range(500):
        with hood.coordinator.begin() as conn:
            seconds = conn.exec_driver_sql(waiting).scalar_one()
        if not seconds:
            break
    return seconds


def test_one_look_at_a_session_that_does_not_wait_for_its_line_is_not_enough(hood: Neighbourhood) -> None:
    police = Police(engine=hood.coordinator, transaction_seconds=SHORT, idle_seconds=LONG)
    with _in_background(hood, BURN) as outcome:
        _wait_for(hood, f"SELECT pid FROM pg_stat_activity WHERE state = 'active' AND usename = '{hood.login.role}'"
                        f" AND query_start < clock_timestamp() - interval '{2 * SHORT} seconds'")  # fmt: skip
        assert police.run_once().ended == ()
        assert [session.volunteer for session in police.run_once().ended] == ["mallory"]
    assert [error.sqlstate for error in outcome] == ["57P01"]


def test_a_session_that_keeps_the_coordinator_waiting_is_ended_before_its_time(hood: Neighbourhood) -> None:
    police = Police(engine=hood.coordinator, transaction_seconds=LONG, idle_seconds=LONG, fair_seconds=0)
    with hood.mallory.connect() as held, open_transaction(hood.room.owner) as waiting:
        HELD["upload_part"](hood, held)
        discard = text("DELETE FROM ledger.work_units WHERE id = :unit")
        with (
            hood.room.owner.connect() as watcher,
            blocked(watcher, waiting, lambda: waiting.execute(discard, {"unit": hood.lease.unit})) as discarded,
        ):
            (ended,) = police.run_once().ended
            discarded.result(timeout=30)
        assert (ended.volunteer, ended.offence) == ("mallory", "held what the coordinator needs")
        with pytest.raises(DatabaseUnreachable):
            held.execute(text("SELECT 1"))
        held.invalidate()


def test_a_short_wait_for_a_volunteer_is_nobodys_offence(hood: Neighbourhood) -> None:
    police = Police(engine=hood.coordinator, transaction_seconds=LONG, idle_seconds=LONG)
    with hood.mallory.connect() as held, open_transaction(hood.room.owner) as waiting:
        HELD["upload_part"](hood, held)
        discard = text("DELETE FROM ledger.work_units WHERE id = :unit")
        with (
            hood.room.owner.connect() as watcher,
            blocked(watcher, waiting, lambda: waiting.execute(discard, {"unit": hood.lease.unit})) as discarded,
        ):
            assert police.run_once() == Report(ended=())
            held.rollback()
            discarded.result(timeout=30)


def test_patience_is_short_while_a_listener_holds_the_notifications_up(hood: Neighbourhood) -> None:
    hour = 3600.0
    police = Police(engine=hood.coordinator, transaction_seconds=hour, idle_seconds=10 * SHORT, crowded=1e-4)
    with hood.mallory.connect() as held:
        HELD["no limits"](hood, held)
        held.execute(text("LISTEN barnraise"))
        held.commit()
        # From here on nothing is dropped from the queue until this transaction ends.
        held.execute(text("SELECT 1"))
        pid = held.execute(text("SELECT pg_backend_pid()")).scalar_one()
        _wait_for(hood, f"SELECT pid FROM pg_stat_activity WHERE pid = {pid}"
                        f" AND state_change < clock_timestamp() - interval '{2 * SHORT} seconds'")  # fmt: skip
        assert police.run_once() == Report(ended=()), "there is time while there is room"
        with hood.bob.begin() as flood:
            notify = "SELECT pg_notify('barnraise', n || repeat('x', 7900)) FROM generate_series(1, 200) n"
            flood.exec_driver_sql(notify).all()
        report = police.run_once()
        assert [session.pid for session in report.ended] == [pid]
        assert report.queue_share >= 1e-4
        held.invalidate()
    wait_until(lambda: _share_waiting(hood) < 1e-4, what="an empty queue")


def test_a_listener_who_never_reads_is_ended(hood: Neighbourhood) -> None:
    with contextlib.closing(psql(hood.room.database, hood.login)) as deaf:
        deaf.execute("LISTEN barnraise")
        pid = deaf.info.backend_pid
        with hood.bob.begin() as flood:
            notify = "SELECT pg_notify('barnraise', n || repeat('x', 7900)) FROM generate_series(1, 2000) n"
            flood.exec_driver_sql(notify).all()
        _wait_for(hood, f"SELECT pid FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'ClientWrite'")
        ended = _police_until_ended(hood, idle_seconds=LONG, transaction_seconds=SHORT)
        assert [session.pid for session in ended] == [pid]


def _share_waiting(hood: Neighbourhood) -> float:
    with hood.coordinator.begin() as conn:
        # The queue is cut when somebody writes to it and finds the slowest reader further on.
        conn.exec_driver_sql("SELECT pg_notify('barnraise', 'on we go')").all()
    with hood.coordinator.begin() as conn:
        return people.share_of_notifications_waiting(conn)


def test_the_unit_of_a_session_that_was_ended_goes_on(hood: Neighbourhood) -> None:
    with hood.mallory.connect() as held:
        HELD["upload_part"](hood, held)
        _police_until_ended(hood, idle_seconds=SHORT, transaction_seconds=LONG)
        held.invalidate()
    let_lapse(hood, hood.lease.unit)
    assert Reap(engine=hood.coordinator, run=hood.room.run).run_once().reopened == (hood.lease.unit,)
    assert claim(hood.bob, hood.bobs).unit == hood.lease.unit


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
            logins.end_sessions(conn, role=role)
            return logins.count_sessions(conn, role=role) == 0

    wait_until(none_left, what="the end of their sessions")


def _state(hood: Neighbourhood, unit: UnitId) -> str:
    with hood.coordinator.begin() as conn:
        return str(
            conn.execute(text("SELECT state FROM ledger.work_units WHERE id = :unit"), {"unit": unit}).scalar_one()
        )


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
        pid = connection.info.backend_pid
        _wait_for(
            hood,
            f"SELECT pid FROM pg_stat_activity WHERE pid = {pid} AND state = 'active' AND query !~ '^SET'",
        )
        yield outcome
        thread.join(10)
        assert not thread.is_alive()
    finally:
        connection.close()
