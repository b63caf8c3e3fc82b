"""The front and its server come and go; certificates stay."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from contract.errors import EmbeddedServerError
from coordinator.embedded import EmbeddedSettings, RunningServer, ensure_running, status, stop
from coordinator.embedded import process as postmaster
from coordinator.embedded.binaries import find_binaries
from coordinator.embedded.places import find
from tests.integration.embedded_support import (
    DEBIAN_BINARIES,
    connect,
    connect_as_superuser,
    lan_address,
    needs_another_version,
    needs_proc,
    needs_root,
    new_settings,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.own_server

KILL = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL


@pytest.fixture
def settings() -> Iterator[EmbeddedSettings]:
    with new_settings(host="0.0.0.0") as settings:  # noqa: S104
        yield settings


def ask_encrypted(server: RunningServer, tmp_path: Path, **changes: object) -> object:
    pinned = tmp_path / "pinned.crt"
    pinned.write_text(server.certificate_pem or "")
    where = {"host": server.public_host, "port": server.public_port}
    with connect(server, **{**where, "sslmode": "verify-ca", "sslrootcert": str(pinned), **changes}) as connection:
        assert connection.pgconn.ssl_in_use
        return connection.execute("SELECT 1").fetchone()


def stop_postgresql_alone(settings: EmbeddedSettings) -> None:
    places = find(settings.state_directory)
    assert places is not None
    postmaster.stop(places, find_binaries(None, places.data))


def front_pid(settings: EmbeddedSettings) -> int:
    pid = status(settings).front_pid
    assert pid is not None
    return pid


def test_a_server_that_is_away_is_announced_and_found_again(settings: EmbeddedSettings, tmp_path: Path) -> None:
    server = ensure_running(settings)
    front = front_pid(settings)
    stop_postgresql_alone(settings)
    with pytest.raises(psycopg.OperationalError, match="does not answer just now"):
        ask_encrypted(server, tmp_path)
    assert ensure_running(settings) == server
    assert ask_encrypted(server, tmp_path) == (1,)
    assert front_pid(settings) == front


def test_a_killed_front_is_started_again(settings: EmbeddedSettings, tmp_path: Path) -> None:
    server = ensure_running(settings)
    postgres = status(settings).pid
    os.kill(front_pid(settings), KILL)
    wait_until(lambda: status(settings).front_pid is None, what="the end of the front")
    assert ensure_running(settings) == server
    assert ask_encrypted(server, tmp_path) == (1,)
    assert status(settings).pid == postgres


def test_the_certificate_survives_restarts(settings: EmbeddedSettings) -> None:
    before = ensure_running(settings)
    stop(settings)
    assert status(settings).front_pid is None
    assert ensure_running(settings) == before


def test_a_new_address_keeps_the_certificate(settings: EmbeddedSettings, tmp_path: Path) -> None:
    before = ensure_running(settings)
    after = ensure_running(dataclasses.replace(settings, host=lan_address()))
    assert after.certificate_pem == before.certificate_pem
    assert ask_encrypted(after, tmp_path) == (1,)


def test_the_key_is_private(settings: EmbeddedSettings) -> None:
    ensure_running(settings)
    assert (settings.state_directory / "tls" / "server.key").stat().st_mode & 0o777 == 0o600


def test_a_lost_key_is_named_and_the_certificate_kept(settings: EmbeddedSettings) -> None:
    ensure_running(settings)
    tls = settings.state_directory / "tls"
    (tls / "server.key").unlink()
    pinned = (tls / "server.crt").read_bytes()
    with pytest.raises(EmbeddedServerError, match=r"server\.key .*invite everybody again"):
        ensure_running(settings)
    assert (tls / "server.crt").read_bytes() == pinned


def test_back_to_loopback_there_is_no_front(settings: EmbeddedSettings) -> None:
    ensure_running(settings)
    server = ensure_running(dataclasses.replace(settings, host="127.0.0.1"))
    assert status(settings).front_pid is None
    assert server.certificate_pem is None
    with pytest.raises(psycopg.OperationalError):
        connect(server, host=lan_address(), connect_timeout=3)


@needs_root
@needs_proc
def test_the_front_does_not_run_as_root(settings: EmbeddedSettings) -> None:
    ensure_running(settings)
    lines = Path(f"/proc/{front_pid(settings)}/status").read_text().splitlines()
    identities = [line.split()[1:] for line in lines if line.startswith(("Uid:", "Gid:", "Groups:"))]
    assert identities
    assert not any("0" in numbers for numbers in identities)


@needs_proc
def test_the_front_is_in_a_session_of_its_own(settings: EmbeddedSettings) -> None:
    ensure_running(settings)
    assert os.getsid(front_pid(settings)) != os.getsid(0)


@needs_another_version
def test_binaries_with_tls_encrypt_by_themselves(settings: EmbeddedSettings, tmp_path: Path) -> None:
    own = dataclasses.replace(settings, binaries=DEBIAN_BINARIES)
    server = ensure_running(own)
    assert status(own).front_pid is None
    assert ask_encrypted(server, tmp_path) == (1,)
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        connect(server, host=lan_address(), sslmode="disable")
    with connect_as_superuser(server) as connection:
        assert connection.execute("SHOW ssl_min_protocol_version").fetchone() == ("TLSv1.2",)
