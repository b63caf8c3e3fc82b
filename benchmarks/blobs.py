"""What do the volunteers' functions cost a blob? Against a bare INSERT and SELECT of the same bytes in the same parts.

python -m benchmarks.blobs [--quick] [--pairs N]
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import psycopg
from sqlalchemy import Connection

from benchmarks.server import BenchLedger, BenchServer, bench_ledger, quiet_server
from benchmarks.table import Row, print_rows
from benchmarks.tls_front import measure_front
from contract.ids import Version, WorkerId
from coordinator.embedded import EmbeddedSettings, ensure_running, stop
from coordinator.embedded.sockets import listen
from coordinator.ledger import gradients, versions
from worker import ledger as volunteer
from worker.ledger import Lease, Submission

PART_BYTES: Final = 4 << 20
MEGABYTES: Final = (1, 4, 25, 100)
# How often one size is moved within one measurement, so that the small ones last long enough to be timed.
BYTES_PER_MEASUREMENT: Final = 32 << 20
TARGET: Final = 0.9

_BARE_TABLE = "CREATE TABLE bare (blob bigint, part integer, content bytea NOT NULL, PRIMARY KEY (blob, part))"
_AS_IT_IS = "ALTER TABLE bare ALTER COLUMN content SET STORAGE EXTERNAL"


class Bare:
    """A like table in a database of its own on the same server, without functions, fences and checks."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.cursor = connection.cursor(binary=True)
        self._next = 0
        connection.execute(_BARE_TABLE)
        connection.execute(_AS_IT_IS)

    def upload(self, parts: Sequence[bytes]) -> None:
        self._next += 1
        for number, part in enumerate(parts):
            self.cursor.execute("INSERT INTO bare VALUES (%b, %b::integer, %b)", (self._next, number, part))

    def download(self, parts: Sequence[bytes]) -> None:
        for number in range(len(parts)):
            query = "SELECT content FROM bare WHERE blob = %b AND part = %b::integer"
            row = self.cursor.execute(query, (self._next, number)).fetchone()
            assert row is not None
            assert len(row[0]) == len(parts[number])


class Volunteer:
    """As a worker does it: each part its own transaction, the last one riding along with the submit."""

    def __init__(self, bench: BenchLedger, connection: Connection) -> None:
        self.bench = bench
        self.connection = connection
        self.worker = WorkerId(bench.workers.start)
        self.version = Version(0)
        self._leases: list[Lease] = []

    def prepare(self, number: int) -> None:
        """Claims so many units, one for each worker: the claim is no part of the upload."""
        self.bench.open_units(number)
        claims = (volunteer.claim(self.connection, worker=WorkerId(worker)) for worker in self.bench.workers[:number])
        self._leases = [lease for lease in claims if lease is not None]

    def upload(self, parts: Sequence[bytes], submission: Submission) -> None:
        lease = self._leases.pop()
        for number, part in enumerate(parts[:-1]):
            volunteer.upload_part(self.connection, lease=lease, part=number, content=part)
        volunteer.submit(self.connection, lease=lease, submission=submission, last_part=parts[-1])

    def download(self, parts: Sequence[bytes]) -> None:
        for number, part in enumerate(parts):
            content = volunteer.fetch_part(self.connection, worker=self.worker, version=self.version, part=number)
            assert content is not None
            assert len(content) == len(part)

    def publish(self, parts: Sequence[bytes]) -> None:
        """The coordinator's part: a version of that size to fetch."""
        self.version = Version(self.version + 1)
        new = versions.NewVersion(number=self.version, parent=None, manifest="{}", optimizer_step=0, parts=parts)
        with self.bench.owner.begin() as conn:
            versions.publish_version(conn, run=self.bench.run, new=new)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    ours: Volunteer
    bare: Bare
    pairs: int

    def rows(self, megabytes: int) -> list[Row]:
        parts = _parts(megabytes)
        submission = _submission(parts)
        repeats = max(1, BYTES_PER_MEASUREMENT // sum(map(len, parts)))

        def ours(times: int) -> float:
            self.ours.prepare(times)
            return _seconds(lambda: self.ours.upload(parts, submission), times)

        up = self._pairs(ours, lambda times: _seconds(lambda: self.bare.upload(parts), times), repeats)
        self.ours.publish(parts)
        down = self._pairs(
            lambda times: _seconds(lambda: self.ours.download(parts), times),
            lambda times: _seconds(lambda: self.bare.download(parts), times),
            repeats,
        )
        self._forget()
        return [
            _row(f"upload {megabytes} MB", up, megabytes * repeats),
            _row(f"download {megabytes} MB", down, megabytes * repeats),
        ]

    def _pairs(
        self, ours: Callable[[int], float], bare: Callable[[int], float], repeats: int
    ) -> list[tuple[float, float]]:
        """Seconds of both, each first in every other pair: after a commit of 32 MB the disk is busy for a while. The
        first pair only warms up."""
        measured = []
        for number in range(self.pairs + 1):
            if number % 2:
                one = ours(repeats)
                other = bare(repeats)
            else:
                other = bare(repeats)
                one = ours(repeats)
            measured.append((one, other))
        return measured[1:]

    def _forget(self) -> None:
        """What the coordinator does after a merge, and the same to the bare table: every size begins alike."""
        bench = self.ours.bench
        with bench.owner.begin() as conn:
            waiting = [one.gradient for one in gradients.waiting_gradients(conn, run=bench.run)]
            merged = self.ours.version
            gradients.mark_merged(conn, run=bench.run, version=merged, gradients=waiting, weights=[1.0] * len(waiting))
            gradients.forget_blobs(conn, run=bench.run, up_to=merged)
        gradients.reclaim_space(bench.owner)
        self.bare.cursor.execute("DELETE FROM bare")
        self.bare.cursor.execute("VACUUM (TRUNCATE off) bare")


def _parts(megabytes: int) -> list[bytes]:
    # Noise, as compressed gradients are.
    blob = secrets.token_bytes(megabytes << 20)
    return [blob[begin : begin + PART_BYTES] for begin in range(0, len(blob), PART_BYTES)]


def _submission(parts: Sequence[bytes]) -> Submission:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return Submission(
        codec="none",
        num_samples=1,
        num_parts=len(parts),
        num_bytes=sum(map(len, parts)),
        sha256=digest.digest(),
        losses={"loss": 0.5},
    )


def _seconds(action: Callable[[], None], repeats: int) -> float:
    begin = time.perf_counter()
    for _ in range(repeats):
        action()
    return time.perf_counter() - begin


def _row(question: str, pairs: Sequence[tuple[float, float]], megabytes: int) -> Row:
    ours = statistics.median(megabytes / one for one, _ in pairs)
    bare = statistics.median(megabytes / other for _, other in pairs)
    return Row(
        question=question,
        measured=f"{ours:,.0f} MB/s",
        against=f"bare {bare:,.0f} MB/s",
        ratio=statistics.median(other / one for one, other in pairs),
        at_least=TARGET,
    )


@contextlib.contextmanager
def _open_bench(server: BenchServer, pairs: int) -> Iterator[Bench]:
    server.create_database("bare")
    url = server.url("bare").set(drivername="postgresql").render_as_string(hide_password=False)
    with (
        psycopg.connect(url, autocommit=True) as bare,
        bench_ledger(server, num_workers=BYTES_PER_MEASUREMENT >> 20) as ledger,
        ledger.volunteer() as engine,
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        yield Bench(ours=Volunteer(ledger, connection), bare=Bare(bare), pairs=pairs)


def _front_rows(pairs: int) -> list[Row]:
    """The embedded server's TLS front against plain loopback; temporary rows in memory, so no disk takes part."""
    with tempfile.TemporaryDirectory(prefix="barnraise-front-") as folder:
        Path(folder).chmod(0o755)
        settings = EmbeddedSettings(state_directory=Path(folder) / "state", host="0.0.0.0", port=_free_port())  # noqa: S104
        server = ensure_running(settings)
        try:
            plain, front = measure_front(server, megabytes=64, repeats=pairs)
        finally:
            stop(settings)
    rates = {"up": (front.up, plain.up), "down": (front.down, plain.down)}
    return [
        Row(
            question=f"64 MB {way} through the TLS front",
            measured=f"{through:,.0f} MB/s",
            against=f"plain loopback {past:,.0f} MB/s",
            ratio=through / past,
        )
        for way, (through, past) in rates.items()
    ]


def _free_port() -> int:
    (listener,) = listen("127.0.0.1", 0)
    with listener:
        return int(listener.getsockname()[1])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.blobs", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes: 1 and 4 MB only")
    parser.add_argument("--pairs", type=int, default=9)
    given = parser.parse_args(arguments)
    rows: list[Row] = []
    with quiet_server() as server, _open_bench(server, 2 if given.quick else given.pairs) as bench:
        for megabytes in MEGABYTES[:2] if given.quick else MEGABYTES:
            rows += bench.rows(megabytes)
    if not given.quick:
        rows += _front_rows(given.pairs)
    print_rows(
        "Blobs",
        rows,
        [f"Medians of interleaved pairs; parts of {PART_BYTES >> 20} MB, psycopg in binary, a commit per part."],
    )


if __name__ == "__main__":
    main()
