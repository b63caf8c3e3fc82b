"""PostgreSQL through the TLS front, with the client everybody uses."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from coordinator.embedded import EmbeddedSettings, RunningServer, ensure_running, status
from coordinator.embedded.certificate import ensure_certificate
from tests.integration.embedded_support import connect, lan_address, needs_proc, new_settings, python
from tests.waiting import wait_until

pytestmark = pytest.mark.own_server

SIZE = 64 * 1024 * 1024


@pytest.fixture(scope="module")
def settings() -> Iterator[EmbeddedSettings]:
    with new_settings(host="0.0.0.0") as settings:  # noqa: S104
        yield settings


@pytest.fixture(scope="module")
def server(settings: EmbeddedSettings) -> RunningServer:
    return ensure_running(settings)


@pytest.fixture(scope="module")
def pinned(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("pinned") / "barnraise.crt"
    path.write_text(server.certificate_pem or "")
    return str(path)


def through_front(server: RunningServer, pinned: str, **changes: object) -> psycopg.Connection:
    where = {"host": "127.0.0.1", "port": server.public_port}
    return connect(server, **{**where, "sslmode": "verify-ca", "sslrootcert": pinned, **changes})


@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
def test_a_pinned_certificate_is_accepted(server: RunningServer, pinned: str, negotiation: str) -> None:
    with through_front(server, pinned, sslnegotiation=negotiation) as connection:
        assert connection.pgconn.ssl_in_use
        assert connection.execute("SELECT 42").fetchone() == (42,)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_name_is_verified_too_where_asked(server: RunningServer, pinned: str, host: str) -> None:
    with through_front(server, pinned, sslmode="verify-full", host=host) as connection:
        assert connection.pgconn.ssl_in_use


def test_it_answers_from_the_address_in_the_invitation(server: RunningServer, pinned: str) -> None:
    assert server.public_host == lan_address()
    with through_front(server, pinned, sslmode="verify-full", host=server.public_host) as connection:
        assert connection.pgconn.ssl_in_use


@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
def test_another_certificate_is_refused(server: RunningServer, tmp_path: Path, negotiation: str) -> None:
    wrong, _ = ensure_certificate(tmp_path, "127.0.0.1", None)
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        through_front(server, str(wrong), sslnegotiation=negotiation)


def test_plain_is_allowed_from_loopback(server: RunningServer, pinned: str) -> None:
    with through_front(server, pinned, sslmode="disable") as connection:
        assert not connection.pgconn.ssl_in_use


@pytest.mark.parametrize("role", ["owner", "superuser"])
def test_a_wrong_password_is_refused_through_the_front(server: RunningServer, pinned: str, role: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        through_front(server, pinned, user=getattr(server, role), password="wrong")


def test_plain_from_elsewhere_is_told_what_to_do(server: RunningServer, pinned: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="sslmode=require"):
        through_front(server, pinned, host=lan_address(), sslmode="disable")


def test_postgresql_itself_is_not_reachable_from_elsewhere(server: RunningServer) -> None:
    with pytest.raises(psycopg.OperationalError, match="refused"):
        connect(server, host=lan_address(), connect_timeout=3)


@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
def test_64_megabytes_arrive_exactly_in_both_directions(server: RunningServer, pinned: str, negotiation: str) -> None:
    blob = secrets.token_bytes(SIZE)
    with through_front(server, pinned, sslnegotiation=negotiation) as connection:
        row = connection.execute("SELECT sha256(%b), %b", [blob, blob], binary=True).fetchone()
    assert row is not None
    assert row[0] == hashlib.sha256(blob).digest()
    assert row[1] == blob


def test_many_small_messages_keep_their_order(server: RunningServer, pinned: str) -> None:
    with through_front(server, pinned) as connection, connection.pipeline():
        cursors = [connection.execute("SELECT %s::int", [number]) for number in range(2_000)]
        answers = [cursor.fetchone() for cursor in cursors]
    assert answers == [(number,) for number in range(2_000)]


def test_copy_streams_both_ways(server: RunningServer, pinned: str) -> None:
    with through_front(server, pinned) as connection:
        connection.execute("CREATE TEMPORARY TABLE numbers (number int)")
        with connection.cursor().copy("COPY numbers FROM STDIN") as copy:
            for number in range(100_000):
                copy.write_row([number])
        with connection.cursor().copy("COPY numbers TO STDOUT") as copy:
            assert sum(int(row[0]) for row in copy.rows()) == sum(range(100_000))


def test_notifications_come_through(server: RunningServer, pinned: str) -> None:
    with through_front(server, pinned) as listener, through_front(server, pinned) as speaker:
        listener.execute("LISTEN harvest")
        speaker.execute("NOTIFY harvest, 'now'")
        assert [notice.payload for notice in listener.notifies(timeout=10, stop_after=1)] == ["now"]


def ask_to_cancel(connection: psycopg.Connection, how: str) -> None:
    if how == "plain":
        # What a libpq before 17 does from an encrypted session.
        connection.pgconn.get_cancel().cancel()
    else:
        connection.cancel_safe()


@pytest.mark.parametrize("how", ["plain", "encrypted"])
def test_a_statement_can_be_cancelled(server: RunningServer, pinned: str, how: str) -> None:
    with through_front(server, pinned) as connection, connect(server) as watcher:
        pid = connection.info.backend_pid
        running = "SELECT FROM pg_stat_activity WHERE pid = %s AND state = 'active'"

        def cancel() -> None:
            wait_until(lambda: watcher.execute(running, [pid]).rowcount, what="the statement")
            ask_to_cancel(connection, how)

        canceller = threading.Thread(target=cancel)
        canceller.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(60)")
        canceller.join()


VISIT = """
import psycopg, sys
connection = psycopg.connect(sys.stdin.readline())
print(connection.info.backend_pid, flush=True)
sys.stdin.read()
"""


def test_a_client_that_is_killed_takes_its_session_along(server: RunningServer, pinned: str) -> None:
    with through_front(server, pinned) as connection:
        login = f"{connection.info.dsn} password={server.owner_password}"
    with connect(server) as watcher, python(VISIT, stdin=subprocess.PIPE) as visitor:
        assert visitor.stdin is not None
        assert visitor.stdout is not None
        visitor.stdin.write(login + "\n")
        visitor.stdin.flush()
        pid = int(visitor.stdout.readline())
        visitor.kill()
        wait_until(
            lambda: not watcher.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [pid]).rowcount,
            what="the end of the session",
        )


def test_a_class_may_arrive_at_once(server: RunningServer, pinned: str) -> None:
    with contextlib.ExitStack() as stack:
        opened: list[psycopg.Connection] = []

        def arrive() -> None:
            opened.append(stack.enter_context(through_front(server, pinned)))

        threads = [threading.Thread(target=arrive) for _ in range(60)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(opened) == 60
        assert all(connection.execute("SELECT 1").fetchone() == (1,) for connection in opened)


@needs_proc
def test_a_reader_who_stalls_costs_no_memory(settings: EmbeddedSettings, server: RunningServer, pinned: str) -> None:
    front = status(settings).front_pid
    assert front is not None
    with contextlib.closing(through_front(server, pinned)) as reader, connect(server) as watcher:
        before = resident_bytes(front)
        reader.pgconn.send_query(b"SELECT repeat('x', 1000000) FROM generate_series(1, 300)")
        stalled = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event = 'ClientWrite'"
        wait_until(lambda: watcher.execute(stalled, [reader.info.backend_pid]).rowcount, what="the stall")
        grown = resident_bytes(front) - before
        watcher.execute("SELECT pg_terminate_backend(%s)", [reader.info.backend_pid])
    assert grown < 20_000_000


def resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
