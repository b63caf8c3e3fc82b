"""Crashes, restarts, and two who want the same server at once."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator.embedded import EmbeddedSettings, RunningServer, ensure_running, status, stop
from coordinator.embedded.account import server_account
from coordinator.embedded.places import find
from tests.integration.embedded_support import (
    connect,
    connect_as_superuser,
    needs_another_version,
    needs_proc,
    new_settings,
    python,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.own_server

KILL = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL
START = """
import sys
from pathlib import Path
from coordinator.embedded import EmbeddedSettings, ensure_running, status
settings = EmbeddedSettings(state_directory=Path(sys.argv[1]), port=int(sys.argv[2]))
ensure_running(settings)
print(status(settings).pid, flush=True)
"""
STRANGER = """
import os, sys
if sys.argv[1]:
    os.setuid(int(sys.argv[1]))
print("here", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def settings() -> Iterator[EmbeddedSettings]:
    with new_settings() as settings:
        yield settings


def remember(server: RunningServer, word: str) -> None:
    with connect(server) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS words (word text)")
        connection.execute("INSERT INTO words VALUES (%s)", [word])


def remembered(server: RunningServer) -> list[str]:
    with connect(server) as connection:
        return [row[0] for row in connection.execute("SELECT word FROM words")]


def test_a_restart_finds_data_and_passwords_again(settings: EmbeddedSettings) -> None:
    before = ensure_running(settings)
    remember(before, "barn")
    stop(settings)
    assert not status(settings).running
    after = ensure_running(settings)
    assert after == before
    assert remembered(after) == ["barn"]


def test_it_outlives_a_parent_that_is_killed(settings: EmbeddedSettings) -> None:
    with python(
        START + "sys.stdin.read()", settings.state_directory, str(settings.port), stdin=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(parent.pid, KILL)
        parent.wait()
        server = ensure_running(settings)
    assert status(settings).pid == pid
    remember(server, "alive")


def test_what_was_committed_survives_a_killed_postmaster(settings: EmbeddedSettings) -> None:
    server = ensure_running(settings)
    remember(server, "safe")
    pid = status(settings).pid
    assert pid is not None
    os.kill(pid, KILL)
    wait_until(lambda: not status(settings).running, what="the end of the postmaster")
    assert remembered(ensure_running(settings)) == ["safe"]


@needs_proc
def test_a_stale_pid_file_that_names_a_stranger_is_no_server(settings: EmbeddedSettings) -> None:
    ensure_running(settings)
    pid_file = settings.state_directory / "postgres" / "postmaster.pid"
    left_behind = pid_file.read_text().splitlines()
    stop(settings)
    account = server_account(pid_file.parent)
    uid = "" if account is None else str(account.uid)
    # Of the same user: PostgreSQL itself would take it for its own.
    with python(STRANGER, uid, stdin=subprocess.PIPE) as stranger:
        assert stranger.stdout is not None
        assert stranger.stdout.readline()
        pid_file.write_text("\n".join([str(stranger.pid), *left_behind[1:]]) + "\n")
        assert not status(settings).running
        remember(ensure_running(settings), "up again")
        assert stranger.poll() is None
        stranger.kill()


def test_changed_settings_apply_to_a_running_one(settings: EmbeddedSettings) -> None:
    remember(ensure_running(settings), "kept")
    server = ensure_running(dataclasses.replace(settings, max_connections=33))
    assert remembered(server) == ["kept"]
    with connect(server) as connection:
        assert connection.execute("SHOW max_connections").fetchone() == ("33",)


def test_own_settings_at_the_end_of_the_file_win(settings: EmbeddedSettings) -> None:
    ensure_running(settings)
    stop(settings)
    with (settings.state_directory / "postgres" / "postgresql.conf").open("a") as file:
        file.write("work_mem = '7MB'\nmax_connections = 44\n")
    with connect(ensure_running(settings)) as connection:
        assert connection.execute("SHOW work_mem").fetchone() == ("7MB",)
        assert connection.execute("SHOW max_connections").fetchone() == ("44",)


def test_two_at_once_get_the_same_one(settings: EmbeddedSettings) -> None:
    both = [python(START, settings.state_directory, str(settings.port)) for _ in range(2)]
    answers = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert answers == [f"{status(settings).pid}\n"] * 2


def test_a_killed_initdb_is_done_again(settings: EmbeddedSettings) -> None:
    with python(START, settings.state_directory, str(settings.port)) as first:
        unfinished = wait_until(
            lambda: list(settings.state_directory.glob("postgres.unfinished-*/base")), what="initdb"
        )
        os.kill(first.pid, KILL)
        first.wait()
    assert unfinished
    assert not (settings.state_directory / "postgres").exists()
    remember(ensure_running(settings), "whole")
    assert not list(settings.state_directory.glob("postgres.unfinished-*/PG_VERSION"))


def test_a_set_up_that_was_cut_short_is_completed(settings: EmbeddedSettings) -> None:
    before = ensure_running(settings)
    with connect_as_superuser(before) as connection:
        connection.execute(f'DROP DATABASE "{before.database}"')
        connection.execute(f'DROP ROLE "{before.owner}"')
    assert ensure_running(settings) == before
    remember(before, "complete")


def test_a_lost_owner_password_is_replaced(settings: EmbeddedSettings) -> None:
    before = ensure_running(settings)
    (settings.state_directory / "secrets" / "owner_password").unlink()
    after = ensure_running(settings)
    assert after.owner_password != before.owner_password
    remember(after, "in")


def test_another_owner_and_database_can_be_added(settings: EmbeddedSettings) -> None:
    ensure_running(settings)
    server = ensure_running(dataclasses.replace(settings, owner='odd "one"', database="second"))
    remember(server, "there")


@needs_another_version
def test_data_of_an_older_major_version_finds_its_binaries(settings: EmbeddedSettings) -> None:
    older = dataclasses.replace(settings, binaries=Path("/usr/lib/postgresql/15"))
    remember(ensure_running(older), "old")
    stop(older)
    server = ensure_running(settings)
    assert server.version.startswith("15.")
    assert remembered(server) == ["old"]


def test_logs_are_trimmed_at_each_start(settings: EmbeddedSettings) -> None:
    ensure_running(settings)
    stop(settings)
    places = find(settings.state_directory)
    assert places is not None
    for number in range(50):
        (places.logs / f"postgres-20200101-0000{number:02}.log").touch()
    ensure_running(settings)
    assert len(list(places.logs.glob("postgres-*.log"))) < 15
