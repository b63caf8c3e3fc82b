"""The way to the database: one engine, errors in our words, the schema's revision, notifications with a fallback."""

from __future__ import annotations

import hashlib
import os
import re
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError

from contract.errors import (
    BarnraiseError,
    ConfigError,
    DatabaseError,
    DatabaseFull,
    DatabaseReadOnly,
    DatabaseUnreachable,
    LockHeld,
    LoginRefused,
    MissingRight,
    SchemaMissing,
    SchemaTooNew,
    SchemaTooOld,
    ServerInTrouble,
    ServerTooOld,
    StatementEnded,
    TooManyConnections,
    error_for_sqlstate,
)

if TYPE_CHECKING:
    from contract.config import Database

SCHEMA_REVISION: Final = "0001"
OLDEST_SERVER: Final = 14
CHANNEL: Final = "barnraise"

_SEVERAL_HOSTS: Final = re.compile(
    r"(?P<before>[a-z+]+://(?:[^@/?]*@)?)(?P<hosts>[^/?,]+(?:,[^/?,]+)+)(?P<path>/[^?]*)?(?:\?(?P<query>.*))?"
)

_BY_SQLSTATE: Final[dict[str, type[DatabaseError]]] = {
    "28P01": LoginRefused,
    "28000": LoginRefused,
    "42501": MissingRight,
    "53100": DatabaseFull,
    "53300": TooManyConnections,
    "25006": DatabaseReadOnly,
    "57014": StatementEnded,
    "55P03": LockHeld,
    "25P03": StatementEnded,
    "25P04": StatementEnded,
    "57P01": DatabaseUnreachable,
    "57P02": DatabaseUnreachable,
    "57P03": DatabaseUnreachable,
    "57P05": DatabaseUnreachable,
    "08006": DatabaseUnreachable,
}
# What has no line of its own: a lost connection, resources, limits, the operator, the system; a deadlock's victim.
_BY_CLASS: Final[dict[str, type[DatabaseError]]] = {
    "08": DatabaseUnreachable,
    "40": StatementEnded,
    "53": ServerInTrouble,
    "54": ServerInTrouble,
    "57": DatabaseUnreachable,
    "58": ServerInTrouble,
}

# A refused login carries no SQLSTATE through libpq, only the server's words.
_BY_WORDS: Final[tuple[tuple[str, type[DatabaseError]], ...]] = (
    ("password authentication failed", LoginRefused),
    ("no password supplied", LoginRefused),
    ("no pg_hba.conf entry", LoginRefused),
    ("is not permitted to log in", LoginRefused),
    ("permission denied for database", LoginRefused),
    ("too many connections", TooManyConnections),
    ("remaining connection slots", TooManyConnections),
)


def make_engine(section: Database, *, application: str) -> Engine:
    return engine_for(connection_url(section), application=application, pooler=section.pooler)


def connection_url(section: Database) -> URL:
    if section.url is not None:
        return parse_url(section.url.get_secret_value())
    query: dict[str, str] = {"sslmode": section.sslmode}
    if section.certificate:
        query["sslrootcert"] = str(certificate_file(section.certificate))
    return URL.create(
        "postgresql+psycopg",
        username=section.user,
        password=section.password.get_secret_value() if section.password else None,
        host=section.host,
        port=section.port,
        database=section.name,
        query=query,
    )


def parse_url(written: str) -> URL:
    """Several hosts stand in one place where libpq reads, and each in a `host` of its own where SQLAlchemy does."""
    found = _SEVERAL_HOSTS.fullmatch(written)
    if found is not None:
        hosts = "&".join(f"host={host}" for host in found["hosts"].split(","))
        written = f"{found['before']}{found['path'] or '/'}?{hosts}{'&' + found['query'] if found['query'] else ''}"
    try:
        return make_url(written).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError):
        # Not with the cause: its words may hold the password.
        raise ConfigError(["database.url: cannot be read; write postgresql://user:password@host:port/name"]) from None


def engine_for(url: URL, *, application: str, pooler: bool = False) -> Engine:
    """An engine whose every failure is an error of `contract.errors`, said in one line."""
    arguments: dict[str, Any] = {
        "application_name": f"barnraise {application}",
        "connect_timeout": 10,
        # A laptop that slept finds its connection dead within a minute, not after hours.
        "keepalives_idle": 20,
        "keepalives_interval": 10,
        "keepalives_count": 3,
    }
    if pooler:
        arguments["prepare_threshold"] = None
    engine = create_engine(url, connect_args=arguments, pool_size=2, max_overflow=6, pool_pre_ping=True)
    event.listen(engine, "handle_error", _raise_ours)
    return engine


def certificate_file(certificate: str) -> Path:
    """libpq reads certificates from files only; a pinned one travels inside the configuration."""
    if "-----BEGIN" not in certificate:
        # A path, or the word "system" for the certificates that this machine trusts anyway.
        return Path(certificate).expanduser()
    content = certificate.strip().encode() + b"\n"
    folder = user_directory() / "certificates"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{hashlib.sha256(content).hexdigest()[:16]}.pem"
    if not path.exists():
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_bytes(content)
        draft.replace(path)
    return path


def user_directory() -> Path:
    """What belongs to this person on this computer, whatever the project."""
    return Path(os.environ.get("BARNRAISE_HOME") or Path.home() / ".barnraise")


def check_schema(connection: Connection) -> None:
    """Refuses a server or a ledger that does not fit this code."""
    version = connection.connection.driver_connection.info.server_version  # type: ignore[union-attr]
    if version < OLDEST_SERVER * 10000:
        raise ServerTooOld(
            f"this is PostgreSQL {version // 10000}; Barnraise needs {OLDEST_SERVER} or newer. "
            "Ask for a newer server, or set database.embedded: true"
        )
    revision = revision_of(connection)
    if revision is None:
        raise SchemaMissing
    if int(revision) < int(SCHEMA_REVISION):
        raise SchemaTooOld(
            f"the ledger is at revision {revision}, this Barnraise needs {SCHEMA_REVISION}; "
            "the instructor runs `coordinator migrate`"
        )
    if int(revision) > int(SCHEMA_REVISION):
        raise SchemaTooNew(
            f"the ledger is at revision {revision}, this Barnraise knows {SCHEMA_REVISION}; "
            "upgrade with `pip install --upgrade barnraise`"
        )


_LEDGER_STANDS: Final = """
SELECT EXISTS (SELECT FROM pg_class WHERE relname = 'schema_revision' AND relnamespace = to_regnamespace('watch'))
"""


def revision_of(connection: Connection) -> str | None:
    """The ledger's revision; None where there is no ledger."""
    if not connection.execute(text(_LEDGER_STANDS)).scalar_one():
        return None
    revision: str | None = connection.execute(text("SELECT revision FROM watch.schema_revision")).scalar_one_or_none()
    return revision


def error_from(error: BaseException) -> BarnraiseError | None:
    """Our error for one of psycopg's; None where there is none, and the original should be seen."""
    if not isinstance(error, psycopg.Error):
        return None
    words = str(error).strip()
    if error.sqlstate:
        refusal = error_for_sqlstate(error.sqlstate)
        if refusal is not None:
            hint = f" ({error.diag.message_hint})" if error.diag.message_hint else ""
            return refusal(f"{error.diag.message_primary}{hint}")
        known = _BY_SQLSTATE.get(error.sqlstate) or _BY_CLASS.get(error.sqlstate[:2])
        return _with_words(known, error.diag.message_primary or words) if known else None
    if isinstance(error, psycopg.OperationalError):
        kind = next((kind for phrase, kind in _BY_WORDS if phrase in words), DatabaseUnreachable)
        return _with_words(kind, words)
    return None


def _with_words(kind: type[DatabaseError], words: str) -> DatabaseError:
    lines = [line.strip() for line in words.splitlines()]
    # Of several addresses tried the last one's failure is told; libpq's own advice follows it on a line of its own.
    causes = [line for line in lines if "failed:" in line or "FATAL:" in line or "ERROR:" in line]
    said = (causes or lines or ["nothing more"])[-1].removeprefix("connection failed: ")
    return kind(f"{kind()} (the database said: {said})")


def _raise_ours(context: ExceptionContext) -> None:
    if context.is_pre_ping:
        # The pool is asking whether an idle connection still lives, and replaces it if not.
        return
    ours = error_from(context.original_exception)
    if isinstance(ours, DatabaseReadOnly):
        # Of several hosts another may lead by now, and a session that began read-only stays so: connect anew.
        context.is_disconnect = True
    if ours is not None:
        raise ours from context.original_exception


@contextmanager
def binary_cursor(connection: Connection) -> Iterator[psycopg.Cursor[Any]]:
    """For bytes: SQLAlchemy has no way to ask for results in binary. Same transaction, same errors."""
    with _driver_of(connection) as driver, driver.cursor(binary=True) as cursor:
        yield cursor


@contextmanager
def streaming_cursor(connection: Connection, *, name: str, rows_at_a_time: int) -> Iterator[psycopg.ServerCursor[Any]]:
    """The same for more rows than memory should hold: the server keeps them, and hands out so many at a time."""
    with _driver_of(connection) as driver, driver.cursor(name, binary=True) as cursor:
        cursor.itersize = rows_at_a_time
        yield cursor


@contextmanager
def _driver_of(connection: Connection) -> Iterator[psycopg.Connection[Any]]:
    if not connection.in_transaction():
        # As execute() does by itself; else a later commit() would see nothing to commit.
        connection.begin()
    driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
    try:
        yield driver
    except psycopg.Error as error:
        ours = error_from(error)
        if driver.closed or isinstance(ours, DatabaseReadOnly):
            connection.invalidate()
        if ours is None:
            raise
        raise ours from error


class Notifications:
    """Hints that something happened. A hint may be lost, so whoever waits looks again after `timeout` at the latest.

    Behind a transaction pooler LISTEN cannot work; then, and while the connection is down, waiting is all this does.
    """

    def __init__(self, engine: Engine, *, pooler: bool = False) -> None:
        self._engine = engine
        self._listens = not pooler
        self._connection: psycopg.Connection[Any] | None = None
        self._closed = threading.Event()
        # A connection must not be closed under a thread that waits on it; that thread is woken first.
        self._waiting = threading.Lock()
        self._bell, self._bell_rings = socket.socketpair()

    def wait(self, timeout: float) -> list[str]:
        """The payloads that arrived, at most `timeout` seconds from now; empty when none did."""
        deadline = time.monotonic() + timeout
        with self._waiting:
            connection = self._listening()
            if connection is None:
                self._closed.wait(timeout)
                return []
            try:
                while not self._closed.is_set():
                    payloads = [hint.payload for hint in connection.notifies(timeout=0)]
                    left = deadline - time.monotonic()
                    if payloads or left <= 0:
                        return payloads
                    self._sleep(connection, left)
            except psycopg.OperationalError:
                self._drop()
            return []

    def close(self) -> None:
        """Ends a wait in another thread."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._bell.send(b"!")
        with self._waiting:
            self._drop()
            self._bell.close()
            self._bell_rings.close()

    def _sleep(self, connection: psycopg.Connection[Any], seconds: float) -> None:
        # Not in short naps: hundreds of workers and their coordinator wait like this for hours.
        with selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ)
            selector.register(self._bell_rings, selectors.EVENT_READ)
            selector.select(seconds)

    def _listening(self) -> psycopg.Connection[Any] | None:
        if not self._listens or self._closed.is_set():
            return None
        if self._connection is None:
            try:
                self._connection = self._listen()
            except (DatabaseError, psycopg.OperationalError):
                return None
        return self._connection

    def _listen(self) -> psycopg.Connection[Any]:
        # Detached: it lives as long as this object, and must not go back to a pool that thinks it is idle.
        pooled = self._engine.raw_connection()
        connection: psycopg.Connection[Any] = pooled.driver_connection  # type: ignore[assignment]
        pooled.detach()
        try:
            connection.autocommit = True
            connection.execute(f"LISTEN {CHANNEL}")
        except psycopg.Error:
            connection.close()
            raise
        return connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
