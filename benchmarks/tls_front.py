"""What does the TLS front cost? The same bytes through it and past it, on one server.

python -m benchmarks.tls_front [MEGABYTES ...]
"""

from __future__ import annotations

import dataclasses
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from coordinator.embedded import EmbeddedSettings, RunningServer, ensure_running, stop
from coordinator.embedded.sockets import listen

_ROUND_TRIPS = 2_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FrontMeasurement:
    """Rates in MB/s, round trips in microseconds (median of a `SELECT 1`)."""

    way: str
    megabytes: int
    up: float
    down: float
    round_trip: float


def measure_front(server: RunningServer, megabytes: int = 64, repeats: int = 5) -> list[FrontMeasurement]:
    """Plain loopback first, then TLS through the front; nothing is stored for good, so the disk is not measured."""
    if server.certificate_pem is None:
        raise ValueError("this server listens on loopback only: there is no front to measure")
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder) / "barnraise.crt"
        pinned.write_text(server.certificate_pem)
        plain = _connect(server, server.host, server.port, "disable", None)
        front = _connect(server, server.public_host, server.public_port, "verify-ca", str(pinned))
        with plain, front:
            ways = {"plain loopback": plain, "TLS": front}
            return [_measure(way, connection, megabytes, repeats) for way, connection in ways.items()]


def _connect(server: RunningServer, host: str, port: int, sslmode: str, pinned: str | None) -> psycopg.Connection:
    return psycopg.connect(
        host=host,
        port=port,
        user=server.owner,
        password=server.owner_password,
        dbname=server.database,
        sslmode=sslmode,
        sslrootcert=pinned,
        autocommit=True,
    )


def _measure(way: str, connection: psycopg.Connection, megabytes: int, repeats: int) -> FrontMeasurement:
    size = megabytes * 1_000_000
    blob = secrets.token_bytes(size)

    # Uncompressed, temporary and in memory: the way is measured, not the table.
    connection.execute("DROP TABLE IF EXISTS front_blobs")
    connection.execute("CREATE TEMPORARY TABLE front_blobs (blob bytea)")
    connection.execute("ALTER TABLE front_blobs ALTER blob SET STORAGE EXTERNAL")
    connection.execute("INSERT INTO front_blobs VALUES (%b)", [blob])

    def upload() -> None:
        row = connection.execute("SELECT octet_length(%b)", [blob]).fetchone()
        assert row == (size,)

    def download() -> None:
        row = connection.execute("SELECT blob FROM front_blobs", binary=True).fetchone()
        assert row is not None
        assert len(row[0]) == size

    def answer() -> None:
        connection.execute("SELECT 1").fetchone()

    round_trip = statistics.median(_seconds(answer) for _ in range(_ROUND_TRIPS))
    return FrontMeasurement(
        way=way,
        megabytes=megabytes,
        up=megabytes / min(_seconds(upload) for _ in range(repeats)),
        down=megabytes / min(_seconds(download) for _ in range(repeats)),
        round_trip=round_trip * 1e6,
    )


def _seconds(action: Callable[[], None]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def print_table(measurements: list[FrontMeasurement]) -> None:
    base = measurements[0]
    print(f"{'way':<16}{'MB':>5}{'up MB/s':>10}{'ratio':>7}{'down MB/s':>11}{'ratio':>7}{'round trip us':>15}")
    for one in measurements:
        up, down = one.up / base.up, one.down / base.down
        print(
            f"{one.way:<16}{one.megabytes:>5}{one.up:>10.0f}{up:>7.2f}{one.down:>11.0f}{down:>7.2f}{one.round_trip:>15.0f}"
        )


def main() -> None:
    sizes = [int(argument) for argument in sys.argv[1:]] or [1, 4, 16, 64]
    with tempfile.TemporaryDirectory(prefix="barnraise-front-") as folder:
        Path(folder).chmod(0o755)
        settings = EmbeddedSettings(state_directory=Path(folder) / "state", host="0.0.0.0", port=_free_port())  # noqa: S104
        server = ensure_running(settings)
        try:
            for megabytes in sizes:
                print_table(measure_front(server, megabytes))
        finally:
            stop(settings)


def _free_port() -> int:
    (listener,) = listen("127.0.0.1", 0)
    with listener:
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    main()
