"""The log as `coordinator events` reads it: what is worth telling, each event once, by any login."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Connection, text

from contract.database import Notifications
from contract.errors import NotFound
from coordinator.following import Log, follow
from coordinator.ledger import runs
from coordinator.ledger.records import require_run
from coordinator.ledger.views import LoggedEvent
from tests.integration.classroom import Classroom, claim, classroom, join, new_run

__all__ = ["classroom"]

_WRITE = text("""
    INSERT INTO ledger.events (run_id, subject, subject_id, new_state, reason)
    VALUES (:run, 'run', :run, 'running', :reason)""")


def write(conn: Connection, room: Classroom, reason: str) -> None:
    conn.execute(_WRITE, {"run": room.run, "reason": reason})


def opened(room: Classroom, limit: int = 20, *, everything: bool = False) -> tuple[Log, list[LoggedEvent]]:
    log = Log(run="class", everything=everything)
    with room.owner.begin() as conn:
        return log, log.open(conn, limit=limit)


def more(room: Classroom, log: Log) -> list[str | None]:
    with room.owner.begin() as conn:
        return [event.reason for event in log.more(conn)]


def test_the_newest_come_in_the_order_in_which_they_happened(classroom: Classroom) -> None:
    for number in range(5):
        with classroom.owner.begin() as conn:
            write(conn, classroom, str(number))
    _, newest = opened(classroom, limit=3)
    assert [event.reason for event in newest] == ["2", "3", "4"]


def test_units_on_their_way_are_told_only_where_everything_is(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    unit, _ = classroom.open_units(2)
    claim(alice, join(alice))
    with classroom.owner.begin() as conn:
        conn.execute(
            text("UPDATE ledger.work_units SET state = 'cancelled', finished_at = now() WHERE id <> :unit"),
            {"unit": unit},
        )
    notable, everything = opened(classroom)[1], opened(classroom, everything=True)[1]
    assert [(event.subject, event.new_state) for event in notable] == [("run", "running"), ("worker", "joined")]
    # Who was invited belongs to no run, and is seen in every one.
    assert [(event.subject, event.new_state) for event in everything] == [
        ("run", "running"), ("volunteer", "invited"), ("worker", "joined"), ("unit", "cancelled"),
    ]  # fmt: skip
    assert (notable[1].volunteer, notable[1].display_name) == ("alice", "alice")


def test_what_happens_in_another_run_is_not_told(classroom: Classroom) -> None:
    with classroom.owner.begin() as conn:
        runs.create_run(conn, new_run("other"))
        conn.execute(text("UPDATE ledger.runs SET state = 'failed' WHERE name = 'other'"))
    assert [event.run for event in opened(classroom, everything=True)[1]] == ["class"]


def test_reading_goes_on_where_it_stopped(classroom: Classroom) -> None:
    log, _ = opened(classroom)
    assert more(classroom, log) == []
    with classroom.owner.begin() as conn:
        write(conn, classroom, "first")
        write(conn, classroom, "second")
    assert more(classroom, log) == ["first", "second"]
    assert more(classroom, log) == []


def test_without_a_look_back_only_what_happens_from_now_on_is_told(classroom: Classroom) -> None:
    log, newest = opened(classroom, limit=0)
    assert newest == []
    assert more(classroom, log) == []
    with classroom.owner.begin() as conn:
        write(conn, classroom, "later")
    assert more(classroom, log) == ["later"]


def test_an_event_that_is_committed_behind_later_ones_is_told_once(classroom: Classroom) -> None:
    log, _ = opened(classroom)
    with classroom.owner.connect() as slow, slow.begin():
        write(slow, classroom, "written first")
        with classroom.owner.begin() as conn:
            write(conn, classroom, "committed first")
        assert more(classroom, log) == ["committed first"]
    assert more(classroom, log) == ["written first"]
    assert more(classroom, log) == []


def test_what_is_remembered_to_tell_each_event_once_stays_small(classroom: Classroom) -> None:
    log, _ = opened(classroom)
    with classroom.owner.begin() as conn:
        conn.execute(
            text("""INSERT INTO ledger.events (run_id, subject, new_state, reason)
                    SELECT :run, 'run', 'running', n::text FROM generate_series(1, 25000) n"""),
            {"run": classroom.run},
        )
    told = [reason for _ in range(8) for reason in more(classroom, log)]
    assert told == [str(number) for number in range(1, 25001)]
    assert log.num_remembered <= 5000
    with classroom.owner.begin() as conn:
        conn.execute(
            text("""INSERT INTO ledger.events (run_id, at, subject, new_state, reason)
                    VALUES (:run, now() + interval '1 hour', 'run', 'running', 'an hour later')"""),
            {"run": classroom.run},
        )
    assert more(classroom, log) == ["an hour later"]
    assert log.num_remembered == 1
    assert more(classroom, log) == []


def test_a_volunteers_login_reads_the_log_too(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    join(alice)
    with alice.begin() as conn:
        assert [event.new_state for event in Log(run="class").open(conn, limit=5)] == ["running", "joined"]


def test_following_tells_what_comes_and_ends_when_it_is_stopped(classroom: Classroom) -> None:
    log, _ = opened(classroom)
    stop, troubles = threading.Event(), list[object]()
    notifications = Notifications(classroom.owner)
    told: list[str | None] = []
    for events in follow(classroom.owner, log, notifications, report=troubles.append, stop=stop):
        told += [event.reason for event in events]
        if len(told) == 3:
            stop.set()
        else:
            with classroom.owner.begin() as conn:
                write(conn, classroom, f"event {len(told)}")
                conn.execute(text("SELECT pg_notify('barnraise', 'look')"))
    notifications.close()
    assert (told, troubles) == (["event 0", "event 1", "event 2"], [])


def test_a_run_that_is_not_there_is_told_with_those_that_are(classroom: Classroom) -> None:
    told = "no run named 'clas' in this ledger, only class; --name chooses"
    with pytest.raises(NotFound, match=told), classroom.owner.begin() as conn:
        require_run(conn, run="clas")
