"""Who drives the queue in a benchmark: pgbench as the volunteers, a thread as the coordinator, pgqueuer's workers."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import URL

from benchmarks.server import BenchLedger, BenchServer
from coordinator.duties.reap import Reap
from coordinator.ledger import runs

# As shipped a worker holds at most four leases, so each client walks over the workers, all clients side by side.
CLAIM: Final = r"""
\set n :n + 1
\set w :first_worker + :client_id + :clients * (:n / 4)
SELECT * FROM volunteer.claim_v1(:w);
"""
CYCLE: Final = r"""
\set w :first_worker + :client_id
SELECT * FROM volunteer.claim_v1(:w) \gset
SELECT volunteer.submit_v1(:w, :unit_id, :attempt, :lease_token, 'none', :num_samples, 1, 1024,
    '\x{sha256}', '{"loss": 0.5}', '\x{part}');
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Transactions per second, and the latencies in milliseconds where they were logged."""

    per_second: float
    latencies: Sequence[float] = ()

    def percentile(self, percent: int) -> float:
        return statistics.quantiles(self.latencies, n=100)[percent - 1]


class Volunteers:
    """pgbench, logged in as a volunteer, over TCP with prepared statements."""

    def __init__(self, ledger: BenchLedger) -> None:
        self.ledger = ledger
        self._next_worker = ledger.workers.start

    def claim(
        self, *, clients: int, seconds: float | None = None, claims_each: int | None = None, log: bool = False
    ) -> Rate:
        variables = {"n": -1, "first_worker": self._next_worker, "clients": clients}
        rate = _run(self.ledger, CLAIM, variables, clients, seconds, claims_each, log)
        self._next_worker = self.ledger.scalar("SELECT max(worker_id) + 1 FROM ledger.work_units")
        if self._next_worker >= self.ledger.workers.stop:
            raise RuntimeError("the benchmark has used up its workers")
        return rate

    def cycle(self, *, clients: int, seconds: float) -> Rate:
        """Claims and submits with a gradient of 1 kB."""
        part = bytes(range(256)) * 4
        script = CYCLE.replace("{part}", part.hex()).replace("{sha256}", "00" * 32)
        return _run(self.ledger, script, {"first_worker": self.ledger.workers.start}, clients, seconds, None, False)


def _run(
    ledger: BenchLedger,
    script: str,
    variables: dict[str, int],
    clients: int,
    seconds: float | None,
    transactions_each: int | None,
    log: bool,
) -> Rate:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "script.sql").write_text(script)
        arguments = ["--file=script.sql", *(f"--define={key}={value}" for key, value in variables.items())]
        if log:
            arguments += ["--log", "--log-prefix=latency"]
        extent = f"--transactions={transactions_each}" if transactions_each else f"--time={seconds:.0f}"
        said = ledger.server.pgbench(ledger.volunteer_url, *_common(clients), *arguments, extent, folder=folder)
        logged = "".join(path.read_text() for path in folder.glob("latency.*"))
    return Rate(per_second=_tps(said), latencies=[int(line.split()[2]) / 1000 for line in logged.splitlines()])


class SimpleUpdate:
    """pgbench -N, scale 10: what the claim is measured against. Its tables are made when they are first needed."""

    def __init__(self, server: BenchServer) -> None:
        self.server = server
        self.url = server.url("pgbench")
        self._exists = False

    def run(self, *, clients: int, seconds: float) -> Rate:
        if not self._exists:
            self.server.create_database("pgbench")
            self.server.pgbench(self.url, "--initialize", "--scale=10", "--quiet")
            self._exists = True
        said = self.server.pgbench(self.url, "--skip-some-updates", *_common(clients), f"--time={seconds:.0f}")
        return Rate(per_second=_tps(said))


def _common(clients: int) -> list[str]:
    return ["--no-vacuum", "--protocol=prepared", f"--client={clients}", f"--jobs={min(clients, 2)}"]


def _tps(said: str) -> float:
    found = re.search(r"^tps = ([0-9.]+)", said, re.MULTILINE)
    if found is None or "number of failed transactions: 0 " not in said:
        raise RuntimeError(f"pgbench did not do what it was told: {said}")
    return float(found[1])


@contextlib.contextmanager
def every_second(action: Callable[[], object]) -> Iterator[None]:
    """What the coordinator does meanwhile."""
    over = threading.Event()
    failures: list[BaseException] = []

    def repeat() -> None:
        try:
            while not over.wait(1):
                action()
        except BaseException as error:  # noqa: BLE001 - told to the main thread, which ends the benchmark
            failures.append(error)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failures:
        raise failures[0]


def raise_floor(ledger: BenchLedger) -> None:
    with ledger.owner.begin() as conn:
        runs.raise_claim_floor(conn, run=ledger.run)


def reap(ledger: BenchLedger) -> None:
    Reap(engine=ledger.owner, run=ledger.run).run_once()


class PgQueuer:
    """Its own worker in processes of its own, on asyncpg, durable and with the autovacuum settings it recommends."""

    def __init__(self, server: BenchServer) -> None:
        server.create_database("pgqueuer")
        self.url = server.url("pgqueuer")
        self._call("install")

    def run(self, *, workers: int, batch_size: int, seconds: float) -> Rate:
        enough = min(30_000, 3_000 * batch_size)
        self._call("fill", str(int(seconds * enough)))
        arguments = ["work", str(batch_size), str(seconds)]
        with contextlib.ExitStack() as stack:
            processes = [stack.enter_context(self._start(*arguments)) for _ in range(workers)]
            for process in processes:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
            for process in processes:
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            answers = [process.communicate()[0] for process in processes]
        return Rate(per_second=sum(float(answer) for answer in answers))

    def _call(self, *arguments: str) -> None:
        with self._start(*arguments) as process:
            process.communicate()
        if process.returncode:
            raise RuntimeError(f"pgqueuer: {arguments[0]} failed")

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.pgqueuer_worker", *arguments],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        # Through the pipe, not the command line: a password is not for everybody's `ps`.
        process.stdin.write(_plain(self.url) + "\n")
        process.stdin.flush()
        return process


def _plain(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)
