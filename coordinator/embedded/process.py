"""The postmaster: is it alive, start it, stop it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from contract.errors import AddressInUse, EmbeddedServerError
from coordinator.embedded import cluster
from coordinator.embedded.account import run_as
from coordinator.embedded.binaries import Binaries, child_environment
from coordinator.embedded.cluster import Listening
from coordinator.embedded.places import Places

# After a machine crash PostgreSQL first replays its log, which may take minutes.
_START_SECONDS = 600
_STOP_SECONDS = 60
_ORPHAN_SECONDS = 10


def postmaster_pid(data_directory: Path) -> int | None:
    """The process that serves this data; a pid file may outlive its process, and the number find a new owner."""
    try:
        first_line = (data_directory / "postmaster.pid").read_text("utf-8").partition("\n")[0]
    except FileNotFoundError:
        return None
    pid = int(first_line) if first_line.strip().isdigit() else 0
    return pid if pid > 0 and _is_postmaster(pid, data_directory) else None


def postmaster_port(data_directory: Path) -> int:
    return int((data_directory / "postmaster.pid").read_text("utf-8").splitlines()[3])


def _is_postmaster(pid: int, data_directory: Path) -> bool:
    if sys.platform == "win32":
        listed = subprocess.run(
            ["tasklist", "/FI", f"PID eq {pid}", "/FO", "CSV", "/NH"], capture_output=True, text=True, check=False
        )
        return "postgres.exe" in listed.stdout
    if Path("/proc/self/cmdline").exists():
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            return False
        command = " ".join(arguments)
    else:
        listed = subprocess.run(
            ["ps", "-ww", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False
        )
        command = listed.stdout
    return "postgres" in command and str(data_directory) in command


def start(places: Places, binaries: Binaries, listening: Listening) -> None:
    deadline = time.monotonic() + _ORPHAN_SECONDS
    while not _try_to_start(places, binaries):
        lines = cluster.last_log_lines(places)
        # Children of a postmaster that was killed need a moment to notice.
        if "shared memory block" in lines and time.monotonic() < deadline:
            time.sleep(0.1)
            continue
        if re.search(r"could not (bind|create any TCP/IP sockets)", lines):
            raise AddressInUse(address_in_use(", ".join(listening.addresses), listening.port))
        raise EmbeddedServerError(
            f"PostgreSQL {binaries.version} does not start on {places.data}; its log ends:\n{lines}"
        )


def address_in_use(host: str, port: int) -> str:
    return (
        f"cannot listen on {host} port {port}: another program does, or this machine has no such address; "
        "set database.port (or database.host)"
    )


def _try_to_start(places: Places, binaries: Binaries) -> bool:
    if postmaster_pid(places.data) is None:
        (places.data / "postmaster.pid").unlink(missing_ok=True)
    places.start_log.unlink(missing_ok=True)
    # pg_ctl puts the server into a session of its own, so it outlives us.
    command = ["start", "--wait", f"--timeout={_START_SECONDS}", f"--log={places.start_log}"]
    return _pg_ctl(places, binaries, command, timeout=_START_SECONDS + 10) == 0


def stop(places: Places, binaries: Binaries) -> None:
    if postmaster_pid(places.data) is None:
        return
    command = ["stop", "--mode=fast", "--wait", f"--timeout={_STOP_SECONDS}"]
    if _pg_ctl(places, binaries, command, timeout=_STOP_SECONDS + 10) != 0 and postmaster_pid(places.data) is not None:
        raise EmbeddedServerError(
            f"PostgreSQL did not stop within {_STOP_SECONDS} s; its log ends:\n{cluster.last_log_lines(places)}"
        )


def _pg_ctl(places: Places, binaries: Binaries, command: list[str], *, timeout: float) -> int:
    creation_flags = 0
    if sys.platform == "win32":
        # A console of its own, unseen: closing ours must not close the server.
        creation_flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
    # No pipes: on Windows the server would inherit them and we would wait for ever.
    return subprocess.run(
        [binaries.program("pg_ctl"), *command, "--silent", f"--pgdata={places.data}"],
        env=child_environment(), cwd=places.home, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, timeout=timeout, check=False, creationflags=creation_flags, **run_as(places.account),
    ).returncode  # fmt: skip
