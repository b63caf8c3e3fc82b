"""Who may come in, and how one is asked to leave."""

from __future__ import annotations

import sys
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, Engine, text

from contract.database import engine_for
from contract.errors import DatabaseUnreachable, InvitationError, LoginRefused, MissingRight, NotInvited
from coordinator.ledger import logins, people
from coordinator.migrating import migrate, protect_database
from coordinator.place import Place
from coordinator.revocation import revoke
from tests.conftest import ConnectAs
from tests.integration.classroom import PASSWORD, Classroom, claim, classroom, join
from tests.servers.databases import Database, Workshop
from tests.servers.server import Login

__all__ = ["classroom"]

NEW_PASSWORD = "battery horse staple correct"


def invite(engine: Engine, name: str, *, password: str = PASSWORD, renew: bool = False) -> people.Admission:
    with engine.begin() as conn:
        return people.invite(conn, name=name, password=password, renew=renew)


def login(classroom: Classroom, admission: people.Admission) -> Engine:
    volunteer = Login(role=admission.role, password=admission.password)
    engine = engine_for(classroom.database.url(volunteer), application="test")
    classroom.engines.callback(engine.dispose)
    return engine


def send_away(classroom: Classroom, name: str) -> None:
    revoke(Place(engine=classroom.owner, public={}), name=name)


def test_an_invited_person_has_a_login_and_no_other_right(classroom: Classroom) -> None:
    admission = invite(classroom.owner, "alice")
    with classroom.owner.begin() as conn:
        role = conn.execute(text("SELECT * FROM pg_roles WHERE rolname = :role"), {"role": admission.role}).one()
        groups = conn.execute(
            text("SELECT roleid::regrole::text FROM pg_auth_members WHERE member = CAST(:oid AS oid)"),
            {"oid": role.oid},
        ).scalars()
        assert set(groups) == {"barnraise_volunteers", f'"{classroom.database.name}_ALL"'}
    assert role.rolcanlogin
    assert not any((role.rolsuper, role.rolcreaterole, role.rolcreatedb, role.rolreplication, role.rolbypassrls))
    assert role.rolconnlimit == 8
    assert {setting.split("=")[0] for setting in role.rolconfig} == {
        "statement_timeout",
        "idle_in_transaction_session_timeout",
        "lock_timeout",
    }


def test_who_was_invited_before_the_database_was_closed_to_the_public_may_come_in_after(classroom: Classroom) -> None:
    """As on a database that was restored from a dump, which does not hold the rights on the database itself."""
    with classroom.owner.begin() as conn:
        conn.execute(text(f"GRANT CONNECT ON DATABASE {classroom.database.name} TO PUBLIC"))
    alice = invite(classroom.owner, "alice")
    with classroom.owner.begin() as conn:
        protect_database(conn)
    assert join(login(classroom, alice)).worker


def test_a_second_invitation_is_refused_and_the_first_stands(classroom: Classroom) -> None:
    first = invite(classroom.owner, "alice")
    with pytest.raises(InvitationError, match="is invited already; `coordinator invite --renew alice`"):
        invite(classroom.owner, "alice", password=NEW_PASSWORD)
    assert join(login(classroom, first)).worker


def test_a_renewed_invitation_has_a_new_password_and_the_old_one_is_refused(classroom: Classroom) -> None:
    old = invite(classroom.owner, "alice")
    new = invite(classroom.owner, "alice", password=NEW_PASSWORD, renew=True)
    assert join(login(classroom, new)).worker
    with pytest.raises(LoginRefused):
        login(classroom, old).connect()


def test_a_renewed_invitation_ends_what_the_old_password_opened(classroom: Classroom) -> None:
    with login(classroom, invite(classroom.owner, "alice")).connect() as session:
        session.execute(text("SELECT 1"))
        invite(classroom.owner, "alice", password=NEW_PASSWORD, renew=True)
        with pytest.raises(DatabaseUnreachable):
            session.execute(text("SELECT 1"))
        session.invalidate()


def test_somebody_revoked_is_out_at_once(classroom: Classroom) -> None:
    alice = login(classroom, invite(classroom.owner, "alice"))
    (unit,) = classroom.open_units(1)
    claim(alice, join(alice))
    with alice.connect() as session:
        session.execute(text("SELECT 1"))
        send_away(classroom, "alice")
        with pytest.raises(DatabaseUnreachable):
            session.execute(text("SELECT 1"))
        session.invalidate()
    with pytest.raises(LoginRefused):
        alice.connect()
    with classroom.owner.begin() as conn:
        assert (
            conn.execute(text("SELECT state FROM ledger.work_units WHERE id = :id"), {"id": unit}).scalar_one()
            == "open"
        )
        (line,) = people.roster(conn)
        assert (line.revoked_at is not None, line.num_workers) == (True, 0)


def test_somebody_revoked_cannot_act_even_with_a_login(
    classroom: Classroom, superuser_connection: Connection, connect_as: ConnectAs
) -> None:
    """The rights are gone with the membership; and were they not, the functions ask the roster."""
    admission = invite(classroom.owner, "alice")
    send_away(classroom, "alice")
    superuser_connection.execute(text(f'ALTER ROLE "{admission.role}" LOGIN'))
    superuser_connection.execute(
        text(f'GRANT barnraise_volunteers, "{classroom.database.name}_ALL" TO "{admission.role}"')
    )
    with pytest.raises(NotInvited):
        join(login(classroom, admission))


def test_somebody_revoked_may_be_invited_again(classroom: Classroom) -> None:
    invite(classroom.owner, "alice")
    send_away(classroom, "alice")
    again = login(classroom, invite(classroom.owner, "alice", password=NEW_PASSWORD))
    classroom.open_units(1)
    assert claim(again, join(again)).attempt == 1


def test_nobody_unknown_is_revoked(classroom: Classroom) -> None:
    with pytest.raises(InvitationError, match="nobody named 'bob' is on the roster"):
        send_away(classroom, "bob")


@pytest.mark.parametrize(
    "name", ["", "Alice", "älice", "-alice", "a b", "a'b", 'a"b', "a;b", "a\n", "a/b", "a" * 41, "ALL", "a$b", "a%b"]
)
def test_a_name_that_is_not_plain_is_refused(classroom: Classroom, name: str) -> None:
    with pytest.raises(InvitationError, match="cannot be a volunteer's name"):
        invite(classroom.owner, name)


@pytest.mark.parametrize("name", ["a" * 40, "0", "a.b-c_d", "public", "select", "a..", "postgres"])
def test_any_plain_name_will_do(classroom: Classroom, name: str) -> None:
    assert join(login(classroom, invite(classroom.owner, name))).worker


def test_long_names_make_different_roles_that_fit() -> None:
    names = {logins.role_name_for("d" * 63, "a" * 39 + letter) for letter in "abc"}
    names |= {logins.role_name_for("d" * 62 + "e", "a" * 40), logins.role_name_for("d" * 63, "ALL")}
    assert len(names) == 5
    assert {len(name) for name in names} == {63}


def test_a_role_that_is_not_ours_is_left_alone(classroom: Classroom) -> None:
    role = classroom.database.role_name("alice")
    with classroom.owner.begin() as conn:
        conn.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD 'somebody else''s'"))
    with pytest.raises(InvitationError, match=r"a role .* that this ledger did not make"):
        invite(classroom.owner, "alice")
    with psycopg.connect(
        host=classroom.database.server.host,
        port=classroom.database.server.port,
        dbname=classroom.database.server.admin.database,
        user=role,
        password="somebody else's",
    ) as theirs:
        assert theirs.info.user == role


def test_nobody_is_invited_when_the_transaction_fails(classroom: Classroom) -> None:
    with pytest.raises(InvitationError), classroom.owner.begin() as conn:
        people.invite(conn, name="alice", password=PASSWORD)
        people.invite(conn, name="Bob", password=PASSWORD)
    with classroom.owner.begin() as conn:
        assert people.roster(conn) == []
        role = {"role": classroom.database.role_name("alice")}
        assert conn.execute(text("SELECT count(*) FROM pg_roles WHERE rolname = :role"), role).scalar_one() == 0


def test_an_owner_without_createrole_is_told_so(workshop: Workshop, empty_database: Database) -> None:
    """The two groups are there already, so that the ledger itself can be set up."""
    poor = workshop.make_role(empty_database, "poor", owns_database=True)
    engine = engine_for(empty_database.url(poor), application="test")
    migrate(engine)
    with pytest.raises(MissingRight, match="permission denied to create role"):
        invite(engine, "alice")
    engine.dispose()


def test_a_volunteer_invites_nobody(classroom: Classroom) -> None:
    with pytest.raises(MissingRight):
        invite(login(classroom, invite(classroom.owner, "alice")), "bob")


def test_the_server_keeps_a_verifier(classroom: Classroom, superuser_connection: Connection) -> None:
    admission = invite(classroom.owner, "alice")
    kept = superuser_connection.execute(
        text("SELECT rolpassword FROM pg_authid WHERE rolname = :role"), {"role": admission.role}
    ).scalar_one()
    assert kept.startswith("SCRAM-SHA-256$")


@pytest.mark.skipif(sys.platform != "linux", reason="libpq traces on Linux alone")
def test_the_password_never_goes_over_the_line(classroom: Classroom, tmp_path: Path) -> None:
    """What the server is not told, it cannot write into its log."""
    line = tmp_path / "line"
    with classroom.owner.begin() as conn, line.open("w") as file:
        driver: psycopg.Connection = conn.connection.driver_connection  # type: ignore[assignment]
        driver.pgconn.trace(file.fileno())
        admission = people.invite(conn, name="alice", password=PASSWORD)
        driver.pgconn.untrace()
    said = line.read_text(errors="replace")
    assert admission.role in said
    assert "SCRAM-SHA-256$" in said
    assert not any(word in said for word in (PASSWORD, PASSWORD.split()[0], "battery"))
