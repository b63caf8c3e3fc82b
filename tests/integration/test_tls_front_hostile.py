"""Clients that are broken, slow or up to no good, spoken to byte by byte."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from coordinator.embedded import RunningServer, ensure_running
from coordinator.embedded.certificate import ensure_certificate
from coordinator.embedded.front_order import FrontOrder, FrontRecord, GateLimits
from tests.integration.embedded_support import ROOT, connect, free_port, lan_address, new_settings, public_folder
from tests.waiting import wait_until

pytestmark = pytest.mark.own_server

SSL_REQUEST = struct.pack("!II", 8, 80877103)
GSSENC_REQUEST = struct.pack("!II", 8, 80877104)
CANCEL_REQUEST = struct.pack("!IIII", 16, 80877102, 1, 2)


def startup(user: str = "nobody") -> bytes:
    body = struct.pack("!I", 3 << 16) + f"user\0{user}\0database\0postgres\0\0".encode()
    return struct.pack("!I", len(body) + 4) + body


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with new_settings(host="0.0.0.0") as settings:  # noqa: S104
        yield ensure_running(settings)


@contextlib.contextmanager
def front(server: RunningServer, **changes: Any) -> Iterator[FrontOrder]:
    """A second front before the same server, with little patience."""
    with public_folder() as folder:
        certificate, key = certificate_of(server, folder)
        order = FrontOrder(
            host="0.0.0.0",  # noqa: S104
            port=free_port(),
            server_port=server.port,
            certificate=certificate,
            key=key,
            record=str(folder / "front.json"),
            lock=str(folder / "front.lock"),
            log=str(folder / "front.log"),
        )
        order = dataclasses.replace(order, **changes)
        command = [sys.executable, "-m", "coordinator.embedded.front", order.dump()]
        with subprocess.Popen(command, cwd=ROOT) as process:
            try:
                wait_until(lambda: FrontRecord.read(Path(order.record)), what="the front")
                yield order
            finally:
                process.terminate()


def certificate_of(server: RunningServer, folder: Path) -> tuple[str, str]:
    certificate, key = ensure_certificate(folder, "127.0.0.1", None)
    return str(certificate), str(key)


@pytest.fixture(scope="module")
def hasty(server: RunningServer) -> Iterator[FrontOrder]:
    with front(server, handshake_seconds=0.5, login_seconds=0.5) as order:
        yield order


def dial(order: FrontOrder, host: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection((host, order.port), timeout=10)


def tls(sock: socket.socket, alpn: str | None = "postgresql") -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols([alpn])
    return context.wrap_socket(sock)


def ask_for_tls(sock: socket.socket) -> ssl.SSLSocket:
    sock.sendall(SSL_REQUEST)
    assert sock.recv(1) == b"S"
    return tls(sock)


def everything(sock: socket.socket) -> bytes:
    """All that comes until the front closes."""
    parts = []
    with contextlib.suppress(ConnectionResetError, ssl.SSLEOFError):
        while part := sock.recv(65536):
            parts.append(part)
    return b"".join(parts)


def log_in(order: FrontOrder, server: RunningServer, host: str = "127.0.0.1") -> None:
    with connect(server, host=host, port=order.port, sslmode="require") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_gss_encryption_is_declined_and_tls_may_follow(hasty: FrontOrder) -> None:
    with dial(hasty) as sock:
        sock.sendall(GSSENC_REQUEST)
        assert sock.recv(1) == b"N"
        with ask_for_tls(sock) as encrypted:
            encrypted.sendall(startup())
            assert encrypted.recv(1) == b"R"


@pytest.mark.parametrize("alpn", [None, "http/1.1"])
def test_direct_tls_for_something_else_is_closed(hasty: FrontOrder, alpn: str | None) -> None:
    with dial(hasty) as sock, contextlib.suppress(ssl.SSLError, ConnectionResetError), tls(sock, alpn) as encrypted:
        encrypted.sendall(startup())
        assert everything(encrypted) == b""


@pytest.mark.parametrize(
    "hello",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(64),
        struct.pack("!II", 0xFFFFFFF0, 3 << 16) + bytes(64),
        struct.pack("!II", 100_000, 3 << 16) + bytes(64),
        GSSENC_REQUEST + GSSENC_REQUEST,
        b"\x16\x03\x01\x00\x05hello",
        SSL_REQUEST + startup(),
    ],
    ids=["http", "zeros", "endless", "too long", "asked twice", "broken TLS", "plain after TLS was promised"],
)
def test_what_is_no_postgresql_is_closed_at_once(server: RunningServer, hello: bytes) -> None:
    with front(server, handshake_seconds=60) as order, dial(order) as sock:
        sock.sendall(hello)
        # Nothing but the answers to the requests, or a TLS alert.
        assert len(everything(sock)) < 16


def test_tls_cannot_be_asked_for_inside_tls(hasty: FrontOrder) -> None:
    with dial(hasty) as sock, ask_for_tls(sock) as encrypted:
        encrypted.sendall(SSL_REQUEST)
        assert everything(encrypted) == b""


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_cancel_request_reaches_the_server(hasty: FrontOrder, encrypted: bool) -> None:
    with dial(hasty, lan_address()) as sock:
        channel = ask_for_tls(sock) if encrypted else sock
        channel.sendall(CANCEL_REQUEST)
        # PostgreSQL answers a cancel request by closing; the front would have said why it does not pass it on.
        assert everything(channel) == b""
        channel.close()


def test_plain_from_elsewhere_gets_an_error_message(hasty: FrontOrder) -> None:
    with dial(hasty, lan_address()) as sock:
        sock.sendall(startup())
        answer = everything(sock)
    assert answer.startswith(b"E")
    assert b"C28000\0" in answer


def send_nothing(order: FrontOrder) -> socket.socket:
    return dial(order)


def send_half_a_header(order: FrontOrder) -> socket.socket:
    sock = dial(order)
    sock.sendall(SSL_REQUEST[:5])
    return sock


def stop_before_the_handshake(order: FrontOrder) -> socket.socket:
    sock = dial(order)
    sock.sendall(SSL_REQUEST)
    return sock


def stop_inside_the_handshake(order: FrontOrder) -> socket.socket:
    sock = dial(order)
    sock.sendall(b"\x16\x03\x01\x02\x00")
    return sock


def stop_after_the_handshake(order: FrontOrder) -> socket.socket:
    return ask_for_tls(dial(order))


def stop_inside_the_startup_message(order: FrontOrder) -> socket.socket:
    sock = ask_for_tls(dial(order))
    sock.sendall(startup()[:20])
    return sock


def stop_before_the_password(order: FrontOrder) -> socket.socket:
    sock = ask_for_tls(dial(order))
    sock.sendall(startup())
    return sock


STALLS = [
    send_nothing,
    send_half_a_header,
    stop_before_the_handshake,
    stop_inside_the_handshake,
    stop_after_the_handshake,
    stop_inside_the_startup_message,
    stop_before_the_password,
]


@pytest.mark.parametrize("stall", STALLS)
def test_who_stalls_is_sent_away(hasty: FrontOrder, stall: Callable[[FrontOrder], socket.socket]) -> None:
    begin = time.monotonic()
    with stall(hasty) as sock:
        everything(sock)
    assert 0.3 < time.monotonic() - begin < 5


def test_one_byte_at_a_time_wins_no_time(server: RunningServer) -> None:
    with front(server, handshake_seconds=1) as order, dial(order) as sock:
        begin = time.monotonic()
        sock.settimeout(0.02)
        with contextlib.suppress(ConnectionError):
            for byte in b"\x16\x03\x01\x40\x00" + bytes(10_000):
                sock.sendall(bytes([byte]))
                with contextlib.suppress(TimeoutError):
                    if not sock.recv(100):
                        break
        assert time.monotonic() - begin < 5


def test_who_logged_in_may_take_all_the_time(server: RunningServer, hasty: FrontOrder) -> None:
    with connect(server, port=hasty.port, sslmode="require") as connection:
        assert connection.execute("SELECT 'up' FROM pg_sleep(1.2)").fetchone() == ("up",)


@pytest.mark.parametrize("stall", STALLS)
def test_fifty_half_open_ones_do_not_stop_a_good_one(
    server: RunningServer, stall: Callable[[FrontOrder], socket.socket]
) -> None:
    limits = GateLimits(fair_seconds=0.2)
    with front(server, handshake_seconds=60, login_seconds=60, gate=limits) as order, contextlib.ExitStack() as stack:
        for _ in range(50):
            with contextlib.suppress(OSError):
                stack.enter_context(stall(order))
        begin = time.monotonic()
        log_in(order, server)
        assert time.monotonic() - begin < 5


def test_half_open_ones_elsewhere_hold_up_nobody_here(server: RunningServer) -> None:
    with front(server, handshake_seconds=60) as order, contextlib.ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(dial(order, lan_address()))
        begin = time.monotonic()
        log_in(order, server)
        assert time.monotonic() - begin < 1


def test_too_many_sessions_are_told_so(server: RunningServer) -> None:
    limits = GateLimits(half_open=1)
    with front(server, max_connections=2, gate=limits) as order, contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(connect(server, port=order.port, sslmode="disable"))
        with pytest.raises(psycopg.OperationalError, match="too many connections"):
            connect(server, port=order.port, sslmode="disable")


def test_a_client_may_close_its_half_first(hasty: FrontOrder) -> None:
    with dial(hasty) as sock:
        sock.sendall(startup())
        sock.shutdown(socket.SHUT_WR)
        assert everything(sock).startswith(b"R")


def test_the_servers_last_words_arrive(server: RunningServer, hasty: FrontOrder) -> None:
    with dial(hasty) as sock, ask_for_tls(sock) as encrypted:
        # The server may hang up while the client is still talking, as libpq knows too: what it said is then read first.
        with contextlib.suppress(ssl.SSLEOFError, ConnectionError):
            encrypted.sendall(startup() + b"p" + struct.pack("!I", 500_000) + bytes(400_000))
        assert b"FATAL" in everything(encrypted)


@contextlib.contextmanager
def sudden_server(words: bytes, heard: threading.Event) -> Iterator[int]:
    """Says its words to one guest and, when they were heard, closes with the guest's bytes unread: a reset."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # So that the front soon has more of the guest's bytes than it can pass on.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

        def host() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1)
                connection.sendall(words)
                heard.wait(10)

        thread = threading.Thread(target=host)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(timeout=10)


@pytest.mark.parametrize("encrypted", [False, True])
def test_last_words_before_a_reset_reach_a_client_that_is_still_talking(server: RunningServer, encrypted: bool) -> None:
    words, heard = bytes(range(256)) * 256, threading.Event()
    with sudden_server(words, heard) as port, front(server, server_port=port) as order, socket.socket() as sock:
        # Most of the words wait in the front until the client reads on.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", order.port))
        with ask_for_tls(sock) if encrypted else sock as client:
            client.sendall(startup())
            client.settimeout(0.5)
            with contextlib.suppress(OSError):
                client.sendall(bytes(8_000_000))
            client.settimeout(10)
            first = client.recv(1)
            heard.set()
            assert first + everything(client) == words


def test_old_tls_is_refused(hasty: FrontOrder) -> None:
    with dial(hasty) as sock:
        sock.sendall(SSL_REQUEST)
        assert sock.recv(1) == b"S"
        # A hello of TLS 1.1, made by hand: today's OpenSSL does not send one.
        body = b"\x03\x02" + bytes(32) + b"\0" + b"\0\2\xc0\x13" + b"\1\0"
        hello = b"\1" + len(body).to_bytes(3, "big") + body
        sock.sendall(b"\x16\x03\x01" + len(hello).to_bytes(2, "big") + hello)
        alert = everything(sock)
    assert alert[:1] == b"\x15"
    assert alert[-1] == 70  # protocol_version


def test_a_second_front_at_the_same_place_leaves_at_once(hasty: FrontOrder) -> None:
    command = [sys.executable, "-m", "coordinator.embedded.front", hasty.dump()]
    assert subprocess.run(command, cwd=ROOT, timeout=30, check=False).returncode == 0
    record = FrontRecord.read(Path(hasty.record))
    assert record is not None
    assert record.error is None
    os.kill(record.pid, 0)


def test_its_log_stays_small(server: RunningServer) -> None:
    with front(server) as order:
        for _ in range(200):
            with dial(order) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
                everything(sock)
        assert 0 < Path(order.log).stat().st_size < 50_000
