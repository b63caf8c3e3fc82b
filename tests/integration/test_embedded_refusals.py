"""Everything that can be wrong before the server runs: one clear message each, and nothing is lost."""

from __future__ import annotations

import dataclasses
import errno
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.errors import AddressInUse, EmbeddedServerError, NoServerBinaries, OtherMajorVersion
from coordinator.embedded import EmbeddedSettings, ensure_running, status, stop
from coordinator.embedded.lock import exclusive
from tests.integration.embedded_support import (
    AS_ROOT,
    DEBIAN_BINARIES,
    free_port,
    needs_another_version,
    new_settings,
    public_folder,
)

pytestmark = pytest.mark.own_server


@pytest.fixture
def settings() -> Iterator[EmbeddedSettings]:
    with new_settings() as settings:
        yield settings


def pretend_version(settings: EmbeddedSettings, version: str) -> Path:
    data = settings.state_directory / "postgres"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text(version + "\n")
    return data


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104
def test_a_port_that_is_taken_is_named(settings: EmbeddedSettings, host: str) -> None:
    with socket.create_server(("127.0.0.1", settings.port)), pytest.raises(AddressInUse) as refusal:
        ensure_running(dataclasses.replace(settings, host=host))
    assert f"{host} port {settings.port}" in str(refusal.value)
    assert "database.port" in str(refusal.value)


def test_an_address_of_another_machine_is_named(settings: EmbeddedSettings) -> None:
    with pytest.raises(AddressInUse, match=r"198\.51\.100\.7 port .*database\.host"):
        ensure_running(dataclasses.replace(settings, host="198.51.100.7"))


def test_data_of_another_major_version_comes_with_instructions(settings: EmbeddedSettings) -> None:
    data = pretend_version(settings, "13")
    with pytest.raises(OtherMajorVersion) as refusal:
        ensure_running(settings)
    for needed in (str(data), "PostgreSQL 13", "18.", "database.embedded_binaries", "pg_dumpall", "psql -f"):
        assert needed in str(refusal.value)


def test_data_of_another_major_version_is_left_alone(settings: EmbeddedSettings) -> None:
    data = pretend_version(settings, "99")
    with pytest.raises(OtherMajorVersion):
        ensure_running(settings)
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


@needs_another_version
def test_configured_binaries_of_another_major_version_are_refused(settings: EmbeddedSettings) -> None:
    ensure_running(settings)
    stop(settings)
    with pytest.raises(OtherMajorVersion, match=str(DEBIAN_BINARIES)):
        ensure_running(dataclasses.replace(settings, binaries=DEBIAN_BINARIES))


def test_a_folder_without_binaries_is_named(settings: EmbeddedSettings, tmp_path: Path) -> None:
    with pytest.raises(NoServerBinaries) as refusal:
        ensure_running(dataclasses.replace(settings, binaries=tmp_path))
    assert str(tmp_path) in str(refusal.value)
    assert "database.embedded_binaries" in str(refusal.value)


def test_files_that_are_no_database_are_left_alone(settings: EmbeddedSettings) -> None:
    data = settings.state_directory / "postgres"
    data.mkdir(parents=True)
    (data / "thesis.txt").write_text("do not delete")
    with pytest.raises(EmbeddedServerError, match="no PostgreSQL data directory"):
        ensure_running(settings)
    assert (data / "thesis.txt").read_text() == "do not delete"


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(EmbeddedServerError, match=r"state folder .*file/state"):
        ensure_running(EmbeddedSettings(state_directory=file / "state"))


def test_a_server_that_does_not_start_shows_the_end_of_its_log(settings: EmbeddedSettings) -> None:
    ensure_running(settings)
    stop(settings)
    with (settings.state_directory / "postgres" / "postgresql.conf").open("a") as file:
        file.write("work_mem = 'plenty'\n")
    with pytest.raises(EmbeddedServerError, match='"work_mem": "plenty"'):
        ensure_running(settings)
    assert not status(settings).running


def test_a_lost_superuser_password_is_named(settings: EmbeddedSettings) -> None:
    ensure_running(settings)
    lost = settings.state_directory / "secrets" / "superuser_password"
    lost.unlink()
    with pytest.raises(EmbeddedServerError, match=str(lost)):
        ensure_running(settings)


def test_a_wrong_superuser_password_is_explained(settings: EmbeddedSettings) -> None:
    ensure_running(settings)
    (settings.state_directory / "secrets" / "superuser_password").write_text("wrong\n")
    with pytest.raises(EmbeddedServerError, match="password authentication failed"):
        ensure_running(settings)


@pytest.fixture
def tiny_disk() -> Iterator[Path]:
    if not AS_ROOT or not sys.platform.startswith("linux"):
        pytest.skip("only root on Linux can mount a small disk")
    with public_folder() as folder:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", folder], check=False)
        if mounted.returncode != 0:
            pytest.skip("this machine does not let us mount a small disk")
        try:
            yield folder
        finally:
            subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_named_and_leaves_nothing_half_made(tiny_disk: Path) -> None:
    settings = EmbeddedSettings(state_directory=tiny_disk / "state")
    with pytest.raises(EmbeddedServerError, match="No space left on device"):
        ensure_running(settings)
    assert not list(settings.state_directory.glob("postgres*"))


def test_a_disk_that_is_full_at_the_start_is_named(tiny_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=200m", tiny_disk], check=True)
    settings = EmbeddedSettings(state_directory=tiny_disk / "state", port=free_port())
    ensure_running(settings)
    stop(settings)
    fill(tiny_disk / "film.mkv")
    with pytest.raises(EmbeddedServerError, match="No space left on device"):
        ensure_running(settings)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC


def test_a_start_that_never_ends_is_reported_by_the_next(tmp_path: Path) -> None:
    second = exclusive(tmp_path / "lock", patience_seconds=0.1)
    with exclusive(tmp_path / "lock", patience_seconds=1), pytest.raises(EmbeddedServerError, match="starting or stop"):
        second.__enter__()
