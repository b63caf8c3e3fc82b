"""What keeps the ledger, the logs and the room in order."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from sqlalchemy import URL, Connection, text

from contract.database import engine_for
from coordinator import embedded
from coordinator.duties import raise_server
from coordinator.duties.prune_events import PruneEvents
from coordinator.duties.raise_server import RaiseServer
from coordinator.duties.roll_call import Report, RollCall
from coordinator.duties.trim_logs import TrimLogs
from coordinator.place import Place
from coordinator.rights import findings
from tests.integration.classroom import Classroom, classroom, join
from tests.integration.desk import Desk, desk
from tests.integration.embedded_support import connect, new_settings
from tests.waiting import wait_until
from worker import ledger

__all__ = ["classroom", "desk"]

MANY_EVENTS = text("""
    INSERT INTO ledger.events (run_id, subject, subject_id, old_state, new_state)
    SELECT 1, 'unit', n, 'leased', 'submitted' FROM generate_series(1, :num) n""")


def subjects(conn: Connection) -> dict[str, int]:
    counted = text("SELECT subject, count(*) FROM ledger.events GROUP BY subject")
    return {row.subject: row.count for row in conn.execute(counted)}


def test_the_newest_events_stay(classroom: Classroom) -> None:
    with classroom.owner.begin() as conn:
        conn.execute(MANY_EVENTS, {"num": 500})
    prune = PruneEvents(engine=classroom.owner, keep_events=100)
    assert prune.run_once().num_events == 400
    with classroom.owner.begin() as conn:
        oldest = "SELECT min(subject_id), max(subject_id) FROM ledger.events WHERE subject = 'unit'"
        assert tuple(conn.execute(text(oldest)).one()) == (401, 500)
        conn.execute(MANY_EVENTS, {"num": 50})
    assert prune.run_once().num_events == 50
    assert prune.run_once().num_events == 0


def test_what_happened_to_runs_and_people_stays(desk: Desk) -> None:
    with desk.alice.begin() as conn:
        ledger.release(conn, lease=desk.lease, reason="closing the lid")
    with desk.room.owner.begin() as conn:
        before = subjects(conn)
    assert {"run", "volunteer", "unit"} <= set(before)
    with desk.room.owner.begin() as conn:
        conn.execute(MANY_EVENTS, {"num": 10})
    PruneEvents(engine=desk.room.owner, keep_events=10).run_once()
    with desk.room.owner.begin() as conn:
        assert subjects(conn) == {**before, "unit": 10}
        kept = "SELECT state, state_reason FROM ledger.work_units"
        assert tuple(conn.execute(text(kept)).one()) == ("open", "closing the lid"), "the record of the unit is whole"


def test_a_long_log_is_pruned_in_bites(classroom: Classroom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.duties.prune_events._AT_MOST", 100)
    with classroom.owner.begin() as conn:
        conn.execute(MANY_EVENTS, {"num": 250})
    prune = PruneEvents(engine=classroom.owner, keep_events=10)
    bites = [prune.run_once().num_events for _ in range(4)]
    assert sum(bites) == 240
    assert max(bites) <= 100


def test_the_roll_is_news_when_the_room_fills_or_empties(classroom: Classroom) -> None:
    roll = RollCall(engine=classroom.owner, run=classroom.run)
    alice, bob = classroom.invite("alice"), classroom.invite("bob")
    assert roll.run_once() == Report(num_workers=0, is_news=True)
    assert roll.run_once() == Report(num_workers=0, is_news=False)
    first = join(alice)
    assert roll.run_once() == Report(num_workers=1, is_news=True)
    second = join(bob)
    assert roll.run_once() == Report(num_workers=2, is_news=False)
    for engine, joined in ((alice, first), (bob, second)):
        with engine.begin() as conn:
            ledger.leave(conn, worker=joined.worker, reason="good night")
    assert roll.run_once() == Report(num_workers=0, is_news=True)


def test_the_logs_of_the_embedded_server_stay_few_while_it_runs() -> None:
    with new_settings() as settings:
        embedded.ensure_running(settings)
        logs = embedded.status(settings).log_directory
        for number in range(20):
            (logs / f"postgres-20200101-0000{number:02}.log").write_text("old")
        TrimLogs(settings=settings).run_once()
        names = sorted(path.name for path in logs.glob("postgres-*.log"))
        assert len(names) == 8
        assert names[-1] > "postgres-2021", "the one in use is kept"


def test_a_server_that_fell_is_raised_and_one_that_was_stopped_is_not() -> None:
    with new_settings() as settings:
        before = embedded.ensure_running(settings)
        duty = RaiseServer(settings=settings)
        assert duty.run_once() == raise_server.Report()
        pid = embedded.status(settings).pid
        assert pid is not None
        # Its children notice by themselves and end.
        os.kill(pid, signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
        wait_until(lambda: not embedded.status(settings).running, what="its end")
        assert duty.run_once() == raise_server.Report(raised=True)
        with connect(before) as conn:
            assert conn.execute("SELECT 1").fetchone() == (1,)
        embedded.stop(settings)
        assert duty.run_once() == raise_server.Report()
        assert not embedded.status(settings).running


def test_what_keeps_a_fallen_server_down_is_told_once() -> None:
    with new_settings() as settings:
        embedded.ensure_running(settings)
        data = embedded.status(settings).data_directory
        embedded.stop(settings)
        (data / "postmaster.pid").write_text("999999999\n")
        configuration = data / "postgresql.conf"
        sound = configuration.read_text()
        configuration.write_text(sound + "no_such_setting = 1\n")
        duty = RaiseServer(settings=settings)
        problem = duty.run_once().problem
        assert problem is not None
        assert "does not start" in problem
        assert duty.run_once() == raise_server.Report()
        configuration.write_text(sound)
        assert duty.run_once().raised
        assert duty.run_once() == raise_server.Report()


def test_check_warns_of_prepared_transactions() -> None:
    with new_settings() as settings:
        server = embedded.ensure_running(settings)
        assert "max_prepared_transactions" not in said_of_rights(server)
        configuration = embedded.status(settings).data_directory / "postgresql.conf"
        embedded.stop(settings)
        with configuration.open("a") as file:
            file.write("max_prepared_transactions = 3\n")
        assert "note: max_prepared_transactions is 3;" in said_of_rights(embedded.ensure_running(settings))


def said_of_rights(server: embedded.RunningServer) -> str:
    url = URL.create(
        "postgresql+psycopg", server.owner, server.owner_password, server.host, server.port, server.database
    )
    engine = engine_for(url, application="test")
    try:
        return "\n".join(finding.text for finding in findings(Place(engine=engine, public={})))
    finally:
        engine.dispose()
