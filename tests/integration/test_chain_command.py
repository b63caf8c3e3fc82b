"""`coordinator ledger verify` as a teacher types it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.integration.classroom import PASSWORD
from tests.integration.observers import looking_on
from tests.integration.workshop import Workshop, open_workshop
from tests.project import Project
from tests.servers.databases import Database

VERIFY = ("ledger", "verify", "--name", "class")


@pytest.fixture
def project(tmp_path: Path, database: Database) -> Project:
    made = Project(folder=tmp_path, database=database)
    made.write_config()
    return made


@pytest.fixture
def shop(database: Database) -> Iterator[Workshop]:
    with open_workshop(database, {"training": {"mode": "async", "num_workunits_per_update": 3}}) as made:
        ada = made.invite("ada")
        made.turn()
        ada.work(3)
        assert made.turn().merged == 3
        yield made


def head_of(shop: Workshop) -> str:
    ((head,),) = shop.rows("SELECT hash FROM watch.contributions ORDER BY number DESC LIMIT 1")
    return str(head)


def change(shop: Workshop) -> None:
    with shop.owner.begin() as conn:
        conn.execute(text("ALTER TABLE ledger.contributions DISABLE TRIGGER USER"))
        conn.execute(text("UPDATE ledger.contributions SET num_samples = 1000 WHERE number = 2"))


def test_a_whole_chain_shows_its_head(project: Project, shop: Workshop) -> None:
    found = project.run(*VERIFY)
    first, second = found.out.splitlines()
    assert (found.code, found.err) == (0, "")
    assert first.startswith("run class: the chain is whole: 3 contributions, 12 samples")
    assert second == f"head: link 3, {head_of(shop)}"


def test_a_head_that_was_written_down_in_groups_is_found_again(project: Project, shop: Workshop) -> None:
    head = head_of(shop)
    written = f"{head[:4]} {head[4:8]} {head[8:12]} {head[12:16]}".upper()
    found = project.run(*VERIFY, "--expect", written, "--expect", head)
    assert found.code == 0
    assert found.out.splitlines()[2:] == [
        f"expected {head[:16]}: link 3, unchanged up to there since it was written down",
        f"expected {head}: link 3, unchanged up to there since it was written down",
    ]


def test_it_adds_up_what_each_person_contributed(project: Project, shop: Workshop) -> None:
    zoe = shop.invite("zoe")
    zoe.submit(zoe.claim(), num_samples=2)
    zoe.work(2)
    assert shop.turn().merged == 3
    assert head_of(shop)
    assert project.run(*VERIFY, "--people").out.splitlines()[2:] == [
        "ada: 3 contributions, 12 samples",
        "zoe: 3 contributions, 10 samples",
    ]


def test_a_head_that_the_chain_does_not_have_is_an_error(project: Project, shop: Workshop) -> None:
    assert head_of(shop)
    found = project.run(*VERIFY, "--expect", "00" * 8)
    assert found.code == 12
    assert found.err.splitlines() == [
        "coordinator: run class: no link has the hash 0000000000000000; the end of the chain was cut off, or the chain "
        "was made anew, since that was written down"
    ]


@pytest.mark.parametrize("written", ["12ab", "x" * 16, "0" * 65])
def test_what_is_no_hash_is_refused(project: Project, written: str) -> None:
    found = project.run(*VERIFY, "--expect", written)
    assert (found.code, "is not 16 to 64 of the digits 0-9 and a-f" in found.err) == (2, True)


def test_a_broken_chain_is_one_line_and_an_exit_code(project: Project, shop: Workshop) -> None:
    change(shop)
    found = project.run(*VERIFY)
    assert (found.code, "last sound one: link 1, " in found.out) == (12, True)
    assert found.out.splitlines()[0].startswith("run class: sound: 1 contribution, 4 samples")
    assert found.err.splitlines() == [
        "coordinator: run class: the first broken link is 2: its hash is not that of what it says; "
        "samples: the link says 1000, gradient 2 has 4"
    ]


@pytest.fixture(params=["ada", "watcher"])
def looker(request: pytest.FixtureRequest, project: Project, shop: Workshop) -> Iterator[Project]:
    """The project of somebody who may read the views and nothing else: a volunteer, then an observer."""
    with looking_on(project.database, shop.owner):
        password = PASSWORD if request.param == "ada" else "binoculars"
        project.write_config(user=project.database.role_name(request.param), password=password)
        yield project


def test_who_may_read_the_views_alone_checks_the_links(looker: Project, shop: Workshop) -> None:
    head = head_of(shop)
    found = looker.run(*VERIFY, "--expect", head, "--people")
    assert (found.code, found.err) == (0, "")
    assert found.out.splitlines()[0].startswith("run class: the chain is whole: 3 contributions, 12 samples")
    assert found.out.splitlines()[1:] == [
        f"head: link 3, {head}",
        "checked link by link; comparing them with the merges takes the configuration of the run's owner",
        f"expected {head}: link 3, unchanged up to there since it was written down",
        "ada: 3 contributions, 12 samples",
    ]
    assert json.loads(looker.run(*VERIFY, "--json").out)["compared"] is False


def test_who_may_read_the_views_alone_finds_the_broken_link(looker: Project, shop: Workshop) -> None:
    change(shop)
    found = looker.run(*VERIFY)
    assert (found.code, "last sound one: link 1, " in found.out) == (12, True)
    assert found.err == ("coordinator: run class: the first broken link is 2: its hash is not that of what it says\n")


def test_a_volunteer_is_told_of_a_run_that_is_not_there(looker: Project) -> None:
    found = looker.run("ledger", "verify", "--name", "other")
    assert (found.code, "there is no run named 'other' in this ledger, only class" in found.err) == (4, True)


def test_programs_read_what_was_found(project: Project, shop: Workshop) -> None:
    head = head_of(shop)
    whole = json.loads(project.run(*VERIFY, "--json", "--expect", head[:16]).out)
    assert whole.pop("seconds") >= 0
    assert whole == {
        "run": "class",
        "whole": True,
        "compared": True,
        "num_links": 3,
        "num_samples": 12,
        "volunteers": {"ada": {"num_links": 3, "num_samples": 12}},
        "head": {"number": 3, "hash": head},
        "broken": None,
        "expected": {head[:16]: 3},
    }
    change(shop)
    found = project.run(*VERIFY, "--json", "--expect", head)
    broken = json.loads(found.out)
    assert (found.code, broken["whole"], broken["num_links"], broken["expected"]) == (12, False, 1, {head: None})
    assert broken["broken"] == {
        "number": 2,
        "differs": ["its hash is not that of what it says", "samples: the link says 1000, gradient 2 has 4"],
    }


def test_a_run_that_is_not_there_is_said(project: Project) -> None:
    found = project.run(*VERIFY)
    assert found.code == 4
    assert "class" in found.err


def test_a_run_without_merges_says_so(project: Project, database: Database) -> None:
    with open_workshop(database, {}):
        found = project.run(*VERIFY)
    assert (found.code, found.out) == (0, "run class: nothing was merged yet\n")
