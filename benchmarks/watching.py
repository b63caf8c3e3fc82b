"""How long does a look take, when a run is a day old? Every view of schema watch, asked by an observer.

python -m benchmarks.watching [--units 1000000] [--workers 10000] [--repeats 11]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, text

from benchmarks.long_run import OBSERVER, Extent, fill
from benchmarks.server import BenchLedger, bench_ledger, quiet_server
from benchmarks.table import Row, print_rows
from contract.database import engine_for
from coordinator.ledger.overview import overview
from coordinator.ledger.watching import look_at

LIMIT_MILLISECONDS: Final = 50
_WHO_ANSWERS: Final = text("SELECT pg_backend_pid()")
_RUN: Final = "WHERE run = 'bench'"
# As somebody asks who wants to see it: a page of what is long, all of what is short.
QUESTIONS: Final = {
    "acceptance": f"{_RUN} ORDER BY num_samples_merged DESC LIMIT 100",
    "bytes": f"{_RUN} ORDER BY sent_bytes DESC LIMIT 100",
    "contributions": f"{_RUN} ORDER BY gradient DESC LIMIT 100",
    "coordinators": _RUN,
    "curves": f"{_RUN} ORDER BY name, version",
    "database_health": "",
    "epochs": f"{_RUN} ORDER BY epoch",
    "events": f"{_RUN} ORDER BY event DESC LIMIT 100",
    "gradients": f"{_RUN} ORDER BY gradient DESC LIMIT 100",
    "leaderboard": f"{_RUN} ORDER BY place LIMIT 100",
    "losses": f"{_RUN} ORDER BY version DESC LIMIT 1000",
    "merges": f"{_RUN} ORDER BY version DESC LIMIT 100",
    "my_contribution": _RUN,
    "progress": _RUN,
    "pushes": f"{_RUN} ORDER BY at",
    "run_definitions": _RUN,
    "samples": f"{_RUN} ORDER BY version DESC LIMIT 1",
    "schema_revision": "",
    "stalled_units": f"{_RUN} ORDER BY seconds_leased DESC LIMIT 100",
    "suspects": f"{_RUN} ORDER BY num_refused DESC LIMIT 100",
    "throughput": f"{_RUN} ORDER BY minute",
    "timings": _RUN,
    "units": f"{_RUN} ORDER BY unit DESC LIMIT 100",
    "versions": f"{_RUN} ORDER BY version DESC LIMIT 100",
    "workers": f"{_RUN} AND is_present ORDER BY last_seen_at DESC LIMIT 100",
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watching", description=__doc__)
    parser.add_argument("--units", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=11)
    given = parser.parse_args(arguments)
    extent = Extent(num_units=given.units, num_workers=given.workers)
    with quiet_server() as server, bench_ledger(server) as ledger:
        fill(ledger, extent)
        rows = measure(ledger, given.repeats)
    print_rows(
        f"Looking at a run of {extent.num_units:,} units and {extent.num_workers:,} workers",
        rows,
        [
            f"The median of {given.repeats}, rows fetched; what is long by the page.",
            "The limit is for the clock, which tells of other programs too; beside it the server's own work.",
        ],
    )


def measure(ledger: BenchLedger, repeats: int) -> list[Row]:
    observer = engine_for(ledger.server.url(ledger.database, OBSERVER), application="benchmark")
    try:
        with ledger.volunteer() as volunteer:
            rows = [
                _row(
                    f"watch.{view}", volunteer if view == "my_contribution" else observer, _asking(view, rest), repeats
                )
                for view, rest in QUESTIONS.items()
            ]
    finally:
        observer.dispose()
    rows.append(_row("the live view", ledger.owner, lambda conn: look_at(conn, run="bench"), repeats))
    rows.append(_row("`coordinator runs`", ledger.owner, overview, repeats))
    return rows


def _asking(view: str, rest: str) -> Callable[[Connection], object]:
    statement = text(f"SELECT * FROM watch.{view} {rest}")
    return lambda conn: conn.execute(statement).all()


def _row(question: str, engine: Engine, ask: Callable[[Connection], object], repeats: int) -> Row:
    taken, worked = [], []
    with engine.connect() as conn:
        server = int(conn.execute(_WHO_ANSWERS).scalar_one())
        ask(conn)
        for _ in range(repeats):
            began, before = time.perf_counter(), _processor_seconds(server)
            ask(conn)
            taken.append(1000 * (time.perf_counter() - began))
            worked.append(1000 * (_processor_seconds(server) - before))
    on_the_clock, of_the_server = statistics.median(taken), statistics.median(worked)
    return Row(
        question=question,
        measured=f"{on_the_clock:.1f} ms" + (f", server {of_the_server:.1f} ms" if of_the_server else ""),
        against=f"{LIMIT_MILLISECONDS} ms",
        ratio=on_the_clock / LIMIT_MILLISECONDS,
        at_most=1.0,
    )


def _processor_seconds(process: int) -> float:
    """That the process has used so far; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{process}/schedstat").read_text("ascii").split()[0]) / 1e9
    except OSError:
        return 0.0


if __name__ == "__main__":
    main()
