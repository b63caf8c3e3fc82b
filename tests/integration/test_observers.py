"""An observer looks, and does nothing else; `coordinator observe` makes one."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
import yaml
from sqlalchemy import Engine, text

from contract.config import load_config
from contract.errors import InvitationError
from coordinator.duties.police import Police
from coordinator.ledger import logins, observers
from coordinator.observing import stop_looking
from coordinator.place import open_place
from tests.conftest import ConnectAs
from tests.integration.classroom import PASSWORD, Classroom, classroom
from tests.project import Project
from tests.waiting import wait_until

__all__ = ["classroom"]

VIEWS = text("SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace = 'watch'::regnamespace ORDER BY 1")
FORBIDDEN = {
    "read a table": "SELECT * FROM ledger.runs",
    "call a volunteer's function": "SELECT volunteer.leave_v1(1)",
    "write through a view": "UPDATE watch.run_definitions SET seed = 1",
    "make a table": "CREATE TABLE public.mine (a int)",
    "become the group": "SET ROLE barnraise_observers",
    "make a login": "CREATE ROLE friend LOGIN",
}


def admit(engine: Engine, name: str = "ada", *, renew: bool = False) -> str:
    with engine.begin() as conn:
        return observers.admit(conn, name=name, password=PASSWORD, limits=logins.Limits(), renew=renew).role


def test_an_observer_reads_every_view(classroom: Classroom, connect_as: ConnectAs) -> None:
    conn = connect_as(admit(classroom.owner), PASSWORD)
    views = conn.execute(VIEWS).scalars().all()
    assert len(views) > 20
    for view in views:
        conn.execute(text(f"SELECT * FROM {view} LIMIT 1"))


@pytest.mark.parametrize("statement", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_an_observer_can_do_nothing_else(classroom: Classroom, statement: str) -> None:
    role = admit(classroom.owner)
    if statement.startswith("SET ROLE") and classroom.database.server.major < 16:
        pytest.skip("before PostgreSQL 16 a member may become its group, which has the same rights")
    with (
        psycopg.connect(
            host=classroom.database.server.host, port=classroom.database.server.port, user=role, password=PASSWORD,
            dbname=classroom.database.name,
        ) as conn,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):  # fmt: skip
        conn.execute(statement.encode())


def test_only_a_coordinator_is_told_apart(classroom: Classroom, connect_as: ConnectAs) -> None:
    assert observers.only_looks(connect_as(admit(classroom.owner), PASSWORD))
    with classroom.owner.connect() as conn:
        assert not observers.only_looks(conn)


def test_a_volunteer_and_an_observer_may_have_the_same_name(classroom: Classroom) -> None:
    classroom.invite("ada")
    assert admit(classroom.owner, "ada").endswith("_OBSERVER_ada")


def test_who_may_look_already_needs_renewing(classroom: Classroom) -> None:
    admit(classroom.owner)
    with pytest.raises(InvitationError, match="observe --renew ada"):
        admit(classroom.owner)
    admit(classroom.owner, renew=True)


@pytest.mark.parametrize("name", ["Ada", "a b", "", "x" * 41, 'a"; DROP'])
def test_a_name_that_could_name_no_login_is_refused(classroom: Classroom, name: str) -> None:
    with pytest.raises(InvitationError, match="cannot be an observer's name"):
        admit(classroom.owner, name)


def test_one_who_is_shut_out_has_no_session_and_no_login(classroom: Classroom, connect_as: ConnectAs) -> None:
    role = admit(classroom.owner)
    session = connect_as(role, PASSWORD)
    with classroom.owner.begin() as conn:
        observers.shut_out(conn, name="ada")
    assert logins.end_every_session(classroom.owner, role=role)
    with pytest.raises(Exception, match=r"terminat|closed"):
        session.execute(text("SELECT 1"))
    session.invalidate()
    with pytest.raises(Exception, match="not permitted to log in"):
        connect_as(role, PASSWORD)
    with classroom.owner.connect() as conn, pytest.raises(InvitationError, match="no observer is named 'ada'"):
        observers.shut_out(conn, name="ada")


def test_an_observer_who_holds_a_transaction_open_is_sent_home(classroom: Classroom) -> None:
    role = admit(classroom.owner)
    with psycopg.connect(
        host=classroom.database.server.host, port=classroom.database.server.port, user=role, password=PASSWORD,
        dbname=classroom.database.name,
    ) as conn:  # fmt: skip
        conn.execute("SELECT count(*) FROM watch.progress")
        police = Police(engine=classroom.owner, transaction_seconds=0, idle_seconds=0)
        ended = wait_until(lambda: [one for one in police.run_once().ended if one.volunteer == role])
        assert ended
        conn.close()


def test_the_command_writes_a_file_and_says_an_address_that_psql_takes(classroom: Classroom, tmp_path: Path) -> None:
    project = Project(folder=tmp_path, database=classroom.database)
    project.write_config()
    answer = project.run("observe", "ada", "grace")
    assert answer.code == 0, answer.err
    given = yaml.safe_load((tmp_path / "observers" / "ada.yaml").read_text("utf-8"))
    assert given["database"]["user"].endswith("_OBSERVER_ada")
    address = answer.out.split("psql '")[1].split("'")[0]
    with psycopg.connect(address) as conn:
        assert conn.execute("SELECT run FROM watch.progress").fetchall() == [("class",)]
    place = open_place(load_config(tmp_path / "config.yaml"), tmp_path / "config.yaml")
    stop_looking(place, name="ada")
    place.engine.dispose()
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        psycopg.connect(address)
