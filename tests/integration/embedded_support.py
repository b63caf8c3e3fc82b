"""Embedded servers that leave nothing behind, for the tests of coordinator.embedded."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from coordinator.embedded import EmbeddedSettings, RunningServer, stop
from coordinator.embedded.certificate import own_addresses
from coordinator.embedded.settings import is_loopback
from coordinator.embedded.sockets import listen

ROOT = Path(__file__).parents[2]
AS_ROOT = sys.platform != "win32" and os.geteuid() == 0
DEBIAN_BINARIES = Path("/usr/lib/postgresql/15/bin")

needs_root = pytest.mark.skipif(not AS_ROOT, reason="only root can become somebody else")
needs_another_version = pytest.mark.skipif(
    not DEBIAN_BINARIES.exists(), reason="Debian's PostgreSQL 15 is not installed"
)
needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")


@contextlib.contextmanager
def public_folder() -> Iterator[Path]:
    """A folder that the server's account can reach too; pytest's tmp_path is closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="barnraise-embedded-", dir="/tmp" if AS_ROOT else None))  # noqa: S108
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def new_settings(**changes: Any) -> Iterator[EmbeddedSettings]:
    with public_folder() as folder:
        values = {"state_directory": folder / "project" / ".barnraise", "port": free_port(), **changes}
        settings = EmbeddedSettings(**values)
        try:
            yield settings
        finally:
            stop(settings)


def free_port() -> int:
    """Below the range from which the system serves everybody else, so that no test running beside takes it."""
    for port in random.sample(range(10_000, 20_000), 100):
        with contextlib.suppress(OSError):
            for listener in listen("0.0.0.0", port):  # noqa: S104
                listener.close()
            return port
    raise AssertionError("no free port")


def connect(server: RunningServer, **changes: Any) -> psycopg.Connection:
    """As the owner, past the front."""
    login = {"user": server.owner, "password": server.owner_password, "dbname": server.database}
    values = {"host": server.host, "port": server.port, "connect_timeout": 10, "autocommit": True, **login, **changes}
    return psycopg.connect(**values)


def connect_as_superuser(server: RunningServer) -> psycopg.Connection:
    return connect(server, user=server.superuser, password=server.superuser_password, dbname="postgres")


def lan_address() -> str:
    address = next((address for address in own_addresses() if not is_loopback(address)), None)
    if address is None:
        pytest.skip("this machine has no address but loopback")
    return address


def python(
    code: str, *arguments: str | Path, interpreter: str = sys.executable, **options: Any
) -> subprocess.Popen[str]:
    """A process of its own that runs this code with the product importable."""
    command = [interpreter, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, **options)
