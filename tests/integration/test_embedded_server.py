"""What a fresh embedded server is like; they share one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from coordinator.embedded import EmbeddedSettings, RunningServer, ensure_running, status, stop
from tests.integration.embedded_support import connect, connect_as_superuser, needs_proc, needs_root, new_settings

pytestmark = pytest.mark.own_server


@pytest.fixture(scope="module")
def settings() -> Iterator[EmbeddedSettings]:
    with new_settings(max_connections=40) as settings:
        yield settings


@pytest.fixture(scope="module")
def server(settings: EmbeddedSettings) -> RunningServer:
    return ensure_running(settings)


def ask(connection: psycopg.Connection, query: str) -> object:
    with connection:
        row = connection.execute(query).fetchone()
        return None if row is None else row[0]


def test_a_new_one_is_up_in_three_seconds() -> None:
    with new_settings() as settings:
        begin = time.perf_counter()
        ensure_running(settings)
        assert time.perf_counter() - begin < 3


def test_a_stopped_one_is_up_in_three_seconds() -> None:
    with new_settings() as settings:
        ensure_running(settings)
        stop(settings)
        begin = time.perf_counter()
        ensure_running(settings)
        assert time.perf_counter() - begin < 3


def test_it_names_its_version(server: RunningServer) -> None:
    assert ask(connect(server), "SHOW server_version") == server.version


def test_a_second_call_finds_the_same_one(settings: EmbeddedSettings, server: RunningServer) -> None:
    pid = status(settings).pid
    assert ensure_running(settings) == server
    assert status(settings).pid == pid


def test_loopback_needs_no_front_and_no_certificate(settings: EmbeddedSettings, server: RunningServer) -> None:
    assert server.certificate_pem is None
    assert status(settings).front_pid is None
    assert (server.host, server.port) == (server.public_host, server.public_port) == (settings.host, settings.port)


@pytest.mark.parametrize(
    ("right", "granted"),
    [("rolsuper", False), ("rolcreaterole", True), ("rolcreatedb", True), ("rolreplication", False)],
)
def test_the_owner_has_these_rights(server: RunningServer, right: str, granted: bool) -> None:
    assert ask(connect(server), f"SELECT {right} FROM pg_roles WHERE rolname = current_user") is granted


def test_connections_are_kept_back_for_the_owner(server: RunningServer) -> None:
    assert ask(connect(server), "SELECT pg_has_role('pg_use_reserved_connections', 'member')") is True
    assert int(str(ask(connect(server), "SHOW reserved_connections"))) > 0


def test_the_database_is_the_owners(server: RunningServer) -> None:
    query = "SELECT datdba::regrole::text FROM pg_database WHERE datname = current_database()"
    assert ask(connect(server), query) == server.owner


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("server_encoding", "UTF8"),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("max_connections", "40"),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("password_encryption", "scram-sha-256"),
    ],
)
def test_it_runs_with(server: RunningServer, setting: str, value: str) -> None:
    assert ask(connect_as_superuser(server), f"SHOW {setting}") == value


@pytest.mark.parametrize("password", ["", "wrong"])
@pytest.mark.parametrize("role", ["owner", "superuser"])
def test_nobody_is_trusted_not_even_from_loopback(server: RunningServer, role: str, password: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        connect(server, user=getattr(server, role), password=password)


def test_the_rules_for_logins_trust_nobody(settings: EmbeddedSettings, server: RunningServer) -> None:
    connection = connect_as_superuser(server)
    query = "SELECT string_agg(DISTINCT auth_method, ',') FROM pg_hba_file_rules"
    assert ask(connection, query) == "scram-sha-256"


def test_a_representation_shows_no_password(server: RunningServer) -> None:
    assert server.owner_password not in repr(server)
    assert server.superuser_password not in repr(server)


def test_passwords_stand_in_private_files_only(settings: EmbeddedSettings, server: RunningServer) -> None:
    secrets = settings.state_directory / "secrets"
    holders = [path for path in text_files(settings.state_directory) if has_password(path, server)]
    assert {path.parent for path in holders} == {secrets}
    assert {path.stat().st_mode & 0o777 for path in holders} == {0o600}
    assert secrets.stat().st_mode & 0o777 == 0o700


def text_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def has_password(path: Path, server: RunningServer) -> bool:
    content = path.read_bytes()
    return server.owner_password.encode() in content or server.superuser_password.encode() in content


@needs_root
@needs_proc
def test_it_does_not_run_as_root(settings: EmbeddedSettings, server: RunningServer) -> None:
    assert Path(f"/proc/{status(settings).pid}").stat().st_uid != 0


def test_status_tells_of_a_running_one(settings: EmbeddedSettings, server: RunningServer) -> None:
    seen = status(settings)
    assert seen.running
    assert seen.port == server.port
    assert seen.version == server.version.split(".")[0]
    assert seen.num_bytes > 10_000_000


def test_status_tells_that_there_is_none(tmp_path: Path) -> None:
    seen = status(EmbeddedSettings(state_directory=tmp_path / "nothing"))
    assert not seen.running
    assert seen.num_bytes == 0


def test_stopping_what_never_ran_is_no_error(tmp_path: Path) -> None:
    stop(EmbeddedSettings(state_directory=tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()
