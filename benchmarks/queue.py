"""How fast is the queue? In one run on one server, against pgbench -N and against pgqueuer.

python -m benchmarks.queue [--quick] [--seconds S] [--only claim,cycle,latency,depth,churn,pgqueuer]
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from benchmarks.drivers import PgQueuer, SimpleUpdate, Volunteers, every_second, raise_floor, reap
from benchmarks.server import BenchLedger, BenchServer, bench_ledger, quiet_server
from benchmarks.table import Row, print_rows

CLIENTS: Final = (1, 8, 32)
DEPTH_CLIENTS: Final = 8
CLAIMS_EACH: Final = 75
# More than the fastest of three seconds has ever claimed.
UNITS_PER_SECOND: Final = 30_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    seconds: float
    pairs: int
    depths: tuple[int, ...]
    depth_rounds: int
    churn_units: int
    churn_seconds: float


FULL: Final = Extent(
    seconds=3,
    pairs=5,
    depths=(1_000, 100_000, 1_000_000),
    depth_rounds=21,
    churn_units=1_000_000,
    churn_seconds=180,
)
QUICK: Final = Extent(
    seconds=1,
    pairs=2,
    depths=(1_000, 20_000),
    depth_rounds=5,
    churn_units=10_000,
    churn_seconds=5,
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    server: BenchServer
    extent: Extent
    simple_update: SimpleUpdate

    @contextlib.contextmanager
    def ledger(self, name: str, *, num_workers: int, num_units: int) -> Iterator[BenchLedger]:
        with bench_ledger(self.server, name, num_workers=num_workers) as ledger:
            ledger.open_units(num_units)
            ledger.vacuum()
            yield ledger

    def pairs(self, ours: Callable[[], float], theirs: Callable[[], float]) -> tuple[float, float, float]:
        """Medians of both, and of their ratio: whatever else the machine does, both halves of a pair suffer alike."""
        measured = [(ours(), theirs()) for _ in range(self.extent.pairs)]
        return (
            statistics.median(one for one, _ in measured),
            statistics.median(other for _, other in measured),
            statistics.median(one / other for one, other in measured),
        )


def claim_alone(bench: Bench) -> list[Row]:
    rows = []
    seconds = bench.extent.seconds
    num_workers = int(bench.extent.pairs * seconds * len(CLIENTS) * UNITS_PER_SECOND / 4)
    with bench.ledger("claims", num_workers=num_workers, num_units=0) as ledger:
        volunteers = Volunteers(ledger)
        for clients in CLIENTS:

            def ours(clients: int = clients) -> float:
                _stock(ledger, int(seconds * UNITS_PER_SECOND))
                return volunteers.claim(clients=clients, seconds=seconds).per_second

            def theirs(clients: int = clients) -> float:
                return bench.simple_update.run(clients=clients, seconds=seconds).per_second

            with every_second(lambda: raise_floor(ledger)):
                one, other, ratio = bench.pairs(ours, theirs)
            rows.append(
                Row(
                    question=f"claim, {_clients(clients)}",
                    measured=f"{one:,.0f}/s",
                    against=f"pgbench -N {other:,.0f}/s",
                    ratio=ratio,
                    at_least=1.0,
                )
            )
    return rows


def claim_and_submit(bench: Bench) -> list[Row]:
    rows = []
    seconds = bench.extent.seconds
    with bench.ledger("cycles", num_workers=64, num_units=0) as ledger:
        volunteers = Volunteers(ledger)
        for clients in CLIENTS:

            def ours(clients: int = clients) -> float:
                _stock(ledger, int(seconds * UNITS_PER_SECOND / 4))
                return volunteers.cycle(clients=clients, seconds=seconds).per_second

            def theirs(clients: int = clients) -> float:
                return bench.simple_update.run(clients=clients, seconds=seconds).per_second

            with every_second(lambda: reap(ledger)):
                one, other, ratio = bench.pairs(ours, theirs)
            rows.append(
                Row(
                    question=f"claim and submit 1 kB, {_clients(clients)}",
                    measured=f"{one:,.0f}/s",
                    against=f"pgbench -N {other:,.0f}/s",
                    ratio=ratio,
                )
            )
    return rows


def claim_latency(bench: Bench) -> list[Row]:
    with bench.ledger(
        "latency", num_workers=int(bench.extent.pairs * bench.extent.seconds * UNITS_PER_SECOND / 4), num_units=0
    ) as ledger:
        volunteers = Volunteers(ledger)
        runs = []
        with every_second(lambda: raise_floor(ledger)):
            for _ in range(bench.extent.pairs):
                _stock(ledger, int(bench.extent.seconds * UNITS_PER_SECOND))
                runs.append(volunteers.claim(clients=32, seconds=bench.extent.seconds, log=True))
    means = [statistics.fmean(run.latencies) for run in runs]
    p50, p99 = (statistics.median(run.percentile(percent) for run in runs) for percent in (50, 99))
    return [
        Row(
            question="claim p99, 32 clients",
            measured=f"p50 {p50:.2f} ms, p99 {p99:.2f} ms",
            against=f"mean {statistics.median(means):.2f} ms",
            ratio=statistics.median(run.percentile(99) / mean for run, mean in zip(runs, means, strict=True)),
            at_most=4.0,
        )
    ]


def depth(bench: Bench) -> list[Row]:
    """Rounds of few claims in turn on ledgers of different depth; each is filled up again before its next round."""
    depths = bench.extent.depths
    with contextlib.ExitStack() as stack:
        ledgers = [
            stack.enter_context(bench.ledger(f"depth_{depth}", num_workers=_workers_for(bench), num_units=depth))
            for depth in depths
        ]
        costs = _costs(ledgers, depths, bench.extent.depth_rounds)
    rows = [_cost_row(f"a claim among {depth:,} open units", cost) for depth, cost in zip(depths, costs, strict=True)]
    flat = _median_ratio(costs[-1], costs[0])
    rows[-1] = dataclasses.replace(rows[-1], against=f"among {depths[0]:,}", ratio=flat, at_most=1.2)
    for i in range(1, len(depths) - 1):
        flat = _median_ratio(costs[i], costs[0])
        rows[i] = dataclasses.replace(rows[i], against=f"among {depths[0]:,}", ratio=flat, at_most=1.2)
    return rows


def churn(bench: Bench) -> list[Row]:
    """Units go through claim and submit, with the coordinator's duty beside them; then claims are timed at once."""
    left = bench.extent.depths[0]
    with contextlib.ExitStack() as stack:
        workers = _workers_for(bench)
        churned = stack.enter_context(bench.ledger("churned", num_workers=workers, num_units=0))
        fresh = stack.enter_context(bench.ledger("fresh", num_workers=workers, num_units=left))
        volunteers = Volunteers(churned)
        slices: list[float] = []
        slice_seconds = min(10.0, bench.extent.churn_seconds / 2)
        begin = time.monotonic()
        with every_second(lambda: reap(churned)):
            while (
                _num_done(churned) < bench.extent.churn_units and time.monotonic() - begin < bench.extent.churn_seconds
            ):
                _leave_open(churned, int(slice_seconds * UNITS_PER_SECOND / 4))
                slices.append(volunteers.cycle(clients=DEPTH_CLIENTS, seconds=slice_seconds).per_second)
        done = _num_done(churned)
        waited = _num_open(churned)
        churned.execute(
            "DELETE FROM ledger.work_units WHERE state = 'open' AND position >= "
            "(SELECT claim_floor FROM ledger.runs) + :left",
            {"left": left},
        )
        costs = _costs([fresh, churned], [left, left], bench.extent.depth_rounds)
    return [
        _cost_row(f"a claim among {left:,} open units, nothing churned", costs[0]),
        dataclasses.replace(
            _cost_row(f"the same after {done:,} units churned through", costs[1]),
            against="nothing churned",
            ratio=_median_ratio(costs[1], costs[0]),
            at_most=1.2,
        ),
        Row(
            question=f"claim and submit at the churn's end ({waited:,} open)",
            measured=f"{slices[-1]:,.0f}/s",
            against=f"at its beginning {slices[0]:,.0f}/s",
            ratio=slices[-1] / slices[0],
        ),
    ]


def pgqueuer(bench: Bench) -> list[Row]:
    """Each in turn; pgqueuer with as many workers as suit it best."""
    seconds = bench.extent.seconds
    theirs = PgQueuer(bench.server)
    singles: dict[int, list[float]] = {1: [], DEPTH_CLIENTS: []}
    batches: list[float] = []
    claims, cycles = [], []
    with contextlib.ExitStack() as stack:
        ledger = stack.enter_context(
            bench.ledger(
                "against_claims", num_workers=int(bench.extent.pairs * seconds * UNITS_PER_SECOND / 4), num_units=0
            )
        )
        cycling = stack.enter_context(bench.ledger("against_cycles", num_workers=64, num_units=0))
        volunteers, cyclers = Volunteers(ledger), Volunteers(cycling)
        for _ in range(bench.extent.pairs):
            for workers, rates in singles.items():
                rates.append(theirs.run(workers=workers, batch_size=1, seconds=seconds).per_second)
            batches.append(theirs.run(workers=1, batch_size=10, seconds=seconds).per_second)
            _stock(ledger, int(seconds * UNITS_PER_SECOND))
            with every_second(lambda: raise_floor(ledger)):
                claims.append(volunteers.claim(clients=DEPTH_CLIENTS, seconds=seconds).per_second)
            _stock(cycling, int(seconds * UNITS_PER_SECOND / 4))
            with every_second(lambda: reap(cycling)):
                cycles.append(cyclers.cycle(clients=DEPTH_CLIENTS, seconds=seconds).per_second)
    workers, single = max(singles.items(), key=lambda item: statistics.median(item[1]))
    against = f"pgqueuer one at a time {statistics.median(single):,.0f}/s ({workers} workers)"
    return [
        Row(
            question=f"claim, {DEPTH_CLIENTS} clients",
            measured=f"{statistics.median(claims):,.0f}/s",
            against=against,
            ratio=_median_ratio(claims, single),
            at_least=10,
        ),
        Row(
            question=f"claim and submit 1 kB, {DEPTH_CLIENTS} clients",
            measured=f"{statistics.median(cycles):,.0f}/s",
            against=against,
            ratio=_median_ratio(cycles, single),
            at_least=10,
        ),
        Row(
            question=f"claim and submit 1 kB, {DEPTH_CLIENTS} clients",
            measured=f"{statistics.median(cycles):,.0f}/s",
            against=f"pgqueuer in batches of 10 {statistics.median(batches):,.0f}/s",
            ratio=_median_ratio(cycles, batches),
        ),
    ]


def _costs(ledgers: Sequence[BenchLedger], depths: Sequence[int], rounds: int) -> list[list[float]]:
    """Milliseconds of the server's time per claim, for each ledger and round. The first round warms the caches."""
    volunteers = [Volunteers(ledger) for ledger in ledgers]
    costs: list[list[float]] = [[] for _ in ledgers]
    for number in range(rounds + 1):
        for one, ledger, depth, measured in zip(volunteers, ledgers, depths, costs, strict=True):
            _leave_open(ledger, depth)
            rate = one.claim(clients=DEPTH_CLIENTS, claims_each=CLAIMS_EACH)
            if number:
                measured.append(1000 / rate.per_second)
    return costs


def _leave_open(ledger: BenchLedger, number: int) -> None:
    """Opens what is missing to that number, and does what the coordinator does every second."""
    ledger.open_units(max(0, number - _num_open(ledger)))
    raise_floor(ledger)


def _stock(ledger: BenchLedger, number: int) -> None:
    """For long runs: opens many at a time and lets them settle, so that no run pays for its own supply."""
    if _num_open(ledger) < number:
        ledger.open_units(4 * number)
        ledger.vacuum()
    raise_floor(ledger)


def _num_open(ledger: BenchLedger) -> int:
    return ledger.scalar("SELECT count(*) FROM ledger.work_units WHERE state = 'open'")


def _num_done(ledger: BenchLedger) -> int:
    return ledger.scalar("SELECT count(*) FROM ledger.work_units WHERE state = 'submitted'")


def _workers_for(bench: Bench) -> int:
    return (bench.extent.depth_rounds + 2) * DEPTH_CLIENTS * CLAIMS_EACH


def _cost_row(question: str, costs: Sequence[float]) -> Row:
    return Row(question=question, measured=f"{statistics.median(costs):.3f} ms")


def _median_ratio(ones: Sequence[float], others: Sequence[float]) -> float:
    return statistics.median(one / other for one, other in zip(ones, others, strict=True))


def _clients(number: int) -> str:
    return "1 client" if number == 1 else f"{number} clients"


PARTS: Final[dict[str, Callable[[Bench], list[Row]]]] = {
    "claim": claim_alone,
    "cycle": claim_and_submit,
    "latency": claim_latency,
    "depth": depth,
    "churn": churn,
    "pgqueuer": pgqueuer,
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queue", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute instead of twenty, and rougher")
    parser.add_argument("--seconds", type=float, help="of each run in a pair")
    parser.add_argument("--only", default=",".join(PARTS), help="some of the parts, separated by commas")
    given = parser.parse_args(arguments)
    extent = QUICK if given.quick else FULL
    if given.seconds:
        extent = dataclasses.replace(extent, seconds=given.seconds)
    rows = []
    with quiet_server() as server:
        bench = Bench(server=server, extent=extent, simple_update=SimpleUpdate(server))
        for name in given.only.split(","):
            rows += PARTS[name](bench)
    print_rows(
        "The queue",
        rows,
        [
            f"Medians of {extent.pairs} interleaved pairs of {extent.seconds:g} s, over TCP with prepared statements.",
            "PostgreSQL as shipped, autovacuum included, but for shared_buffers 256MB and max_wal_size 2GB; durable.",
            "A claim's cost: one second divided by the claims of 8 clients in it, median of rounds taken in turn.",
        ],
    )


if __name__ == "__main__":
    main()
