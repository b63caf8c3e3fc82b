"""The commands as people type them, and the mistakes they make: one clear message, an exit code, never a traceback."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import yaml
from sqlalchemy import create_engine, text

from contract.invitation import decode_token
from tests.project import Project
from tests.servers.databases import Database, Workshop

TEN_MISTAKES = """
databse: {host: somewhere}
database: {embedded: maybe, port: 99999}
training: {batchsize: 3, learning_rate_g: fast, beta1: 1.5, num_epochs: 0}
worker: {heartbeat_interval: 200}
huggingface: {enabled: true}
"""


@pytest.fixture
def project(tmp_path: Path, database: Database) -> Project:
    made = Project(folder=tmp_path, database=database)
    made.write_config()
    return made


def test_an_invited_person_can_take_part_by_file_and_by_token(project: Project) -> None:
    invited = project.run("invite", "ada")
    assert invited.code == 0, invited.err
    by_file = project.run("doctor", "--config", "invitations/ada.yaml", program="worker")
    assert (by_file.code, "you may do all that a volunteer does" in by_file.out) == (0, True)
    token = invited.out.split()[-1]
    assert project.run("doctor", token, program="worker").code == 0
    assert project.run("doctor", token[:76], token[76:], program="worker").code == 0, "a mail program broke the line"
    assert yaml.safe_load(decode_token(token)) == yaml.safe_load((project.folder / "invitations/ada.yaml").read_text())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_an_invitation_is_readable_by_its_owner_alone(project: Project) -> None:
    project.run("invite", "ada")
    assert stat.S_IMODE((project.folder / "invitations/ada.yaml").stat().st_mode) == 0o600


def test_a_roster_invites_all_its_people(project: Project) -> None:
    (project.folder / "class.csv").write_text("Name;display_name\nZoë van Berg;Zoë\nlin;\n", "utf-8-sig")
    assert project.run("invite", "--roster", "class.csv").code == 0
    shown = project.run("roster")
    assert ("zoe-van-berg" in shown.out, "lin" in shown.out) == (True, True)


def test_a_roster_with_a_mistake_invites_nobody(project: Project) -> None:
    (project.folder / "class.csv").write_text("name\nada\n!!!\nAda\n", "utf-8")
    refused = project.run("invite", "--roster", "class.csv")
    assert (refused.code, "line 3" in refused.err, "line 4" in refused.err) == (7, True, True)
    assert "nobody is invited yet" in project.run("roster").out


def test_nobody_is_invited_when_the_file_cannot_be_written(project: Project) -> None:
    (project.folder / "invitations").write_text("a file where the folder should be", "utf-8")
    refused = project.run("invite", "ada", "bob")
    assert (refused.code, "nobody was invited" in refused.err) == (7, True)
    assert "nobody is invited yet" in project.run("roster").out


def test_a_renewed_invitation_closes_the_old_one(project: Project) -> None:
    project.run("invite", "ada")
    old = (project.folder / "invitations/ada.yaml").read_bytes()
    assert project.run("invite", "--renew", "ada").code == 0
    (project.folder / "old.yaml").write_bytes(old)
    assert project.run("doctor", "--config", "old.yaml", program="worker").code == 3
    assert project.run("doctor", "--config", "invitations/ada.yaml", program="worker").code == 0


def test_a_revoked_person_is_told_so(project: Project) -> None:
    project.run("invite", "ada")
    assert project.run("revoke", "ada").code == 0
    refused = project.run("doctor", "--config", "invitations/ada.yaml", program="worker")
    assert (refused.code, "not permitted to log in" in refused.out) == (3, True)


def test_ten_mistakes_come_in_one_message(project: Project) -> None:
    (project.folder / "config.yaml").write_text(TEN_MISTAKES, "utf-8")
    refused = project.run("check")
    assert refused.code == 2
    assert refused.err.startswith("coordinator: 10 problems in config.yaml")


def test_a_rule_that_does_not_fit_is_found_before_there_is_a_run(project: Project) -> None:
    krum = ("--set", "aggregation.rule=krum", "--set", "aggregation.num_byzantine=1")
    for command in (("check",), ("start",), ("train-local",), ("fork", "--from", "another", "--name", "new")):
        refused = project.run(*command, *krum)
        assert (refused.code, "krum needs n >= 2f+3" in refused.err) == (2, True), refused.err
        assert "set training.num_workunits_per_update to 5" in refused.err


def test_a_sound_configuration_is_ok(project: Project) -> None:
    checked = project.run("check", "--connect")
    assert (checked.code, checked.out.splitlines()[0]) == (0, "config OK"), checked.out


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"password": "wrong"}, "refused this user name and password", id="wrong password"),
        pytest.param({"port": 1}, "No database answers", id="unreachable"),
        pytest.param({"name": "no_such_database"}, "no_such_database", id="no such database"),
        pytest.param({"host": "no-such-host.invalid"}, "No database answers", id="no such host"),
    ],
)
def test_a_wrong_address_or_login_is_one_clear_line(project: Project, changes: dict[str, object], says: str) -> None:
    project.write_config(**changes)
    refused = project.run("roster")
    assert (refused.code, says in refused.err, len(refused.err.splitlines())) == (3, True, 1), refused.err


def test_a_ledger_of_a_newer_release_is_refused(project: Project) -> None:
    _set_revision(project, "9999")
    for command in (["roster"], ["migrate"]):
        refused = project.run(*command)
        assert (refused.code, "upgrade" in refused.err) == (3, True), refused.err


def test_a_ledger_of_an_older_release_asks_to_migrate(project: Project) -> None:
    _set_revision(project, "0000")
    refused = project.run("roster")
    assert (refused.code, "coordinator migrate" in refused.err) == (3, True), refused.err


def test_the_instructors_file_is_no_invitation(project: Project) -> None:
    project.write_config(embedded=True, password=None)
    refused = project.run("join", program="worker")
    assert (refused.code, len(refused.err.splitlines())) == (7, 1), refused.err
    assert "worker join --config" in refused.err


def test_an_empty_database_asks_for_a_start(tmp_path: Path, empty_database: Database) -> None:
    project = Project(folder=tmp_path, database=empty_database)
    project.write_config()
    refused = project.run("roster")
    assert (refused.code, "coordinator start" in refused.err) == (3, True), refused.err
    assert project.run("migrate").code == 0
    assert "no change" in project.run("migrate").out


def test_a_volunteer_may_not_give_the_instructors_commands(project: Project) -> None:
    project.run("invite", "ada")
    refused = project.run("roster", "--config", "invitations/ada.yaml")
    assert (refused.code, "may not do this" in refused.err) == (3, True), refused.err


@pytest.mark.parametrize(
    ("command", "kind", "advice"),
    [
        ("invite", "a volunteer's", "a volunteer runs `worker join`"),
        ("observe", "an observer's", "an observer looks, with `coordinator status` or `coordinator top`"),
    ],
)
def test_who_was_invited_is_told_that_leading_takes_the_owners_file(
    project: Project, command: str, kind: str, advice: str
) -> None:
    project.run(command, "ada")
    (file,) = project.folder.glob("*/ada.yaml")
    role = yaml.safe_load(file.read_text("utf-8"))["database"]["user"]
    login = f"{role} is {kind} login; this takes the configuration of the run's owner ({advice})"
    for asked in (("start", "--plain"), ("migrate",)):
        refused = project.run(*asked, "--config", str(file))
        assert (refused.code, refused.err) == (3, f"coordinator: {login}\n")
    checked = project.run("check", "--connect", "--config", str(file))
    assert (checked.code, login in checked.out, "ALTER" in checked.out) == (3, True, False)


def test_an_owner_without_createrole_is_told_what_to_ask_for(
    tmp_path: Path, empty_database: Database, workshop: Workshop
) -> None:
    poor = workshop.make_role(empty_database, "poor", owns_database=True)
    project = Project(folder=tmp_path, database=empty_database)
    project.write_config(user=poor.role, password=poor.password)
    project.run("migrate")
    assert project.run("invite", "ada").code == 3
    checked = project.run("check", "--connect")
    assert (checked.code, f'ALTER ROLE "{poor.role}" CREATEROLE' in checked.out) == (3, True), checked.out


def _set_revision(project: Project, revision: str) -> None:
    engine = create_engine(project.database.url())
    with engine.begin() as conn:
        conn.execute(text("UPDATE ledger.schema_version SET version_num = :revision"), {"revision": revision})
    engine.dispose()
