"""What does an aggregation cost, in time and memory? Against Flower's and ByzFL's rules on the same gradients.

python -m benchmarks.aggregation [--quick] [--gradients 16 64] [--millions 1 10] [--only median krum ...]
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from benchmarks.cases import NUM_BYZANTINE, Case, in_postgres
from benchmarks.peers.client import Peers, TooSlow, peers
from benchmarks.server import real_disk
from benchmarks.spent import clock_for, extra_bytes
from benchmarks.table import Row, print_rows, print_table
from contract.compressors import Decoder
from contract.deltas import slabs
from contract.ids import GradientId
from coordinator.aggregators import Contribution
from coordinator.recipe import Recipe

# As the coordinator, which leaves the other cores to the workers.
THREADS: Final = 1
CUT_OFF_SECONDS: Final = 60.0
MOST_EXTRA: Final = 64 << 20
MOST_READS: Final = 4.0
NUM_GRADIENTS_OF_TARGETS: Final = 16

# How many times faster than the faster library, at 16 gradients of a million values.
RULES: Final = {
    "mean": 2.0,
    "median": 20.0,
    "trimmed_mean": 20.0,
    "meamed": 20.0,
    "krum": 10.0,
    "multi_krum": 10.0,
    "bulyan": 20.0,
    "geometric_median": 10.0,
    "centered_clip": 10.0,
    "caf": 10.0,
    "nnm, mean": 20.0,
    "nnm, trimmed_mean": None,
}
BY_COORDINATE: Final = ("median", "trimmed_mean", "meamed")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    seconds: float
    extra: int | None
    error: float


def recipe(rule: str, number: int) -> Recipe:
    before, _, last = rule.rpartition(", ")
    training = {
        "rule": last,
        # The libraries trim f of each side.
        "rule_options": {"trim": NUM_BYZANTINE / number} if last == "trimmed_mean" else {},
        "num_byzantine": NUM_BYZANTINE,
        "before": [before] if before else [],
        "before_options": {},
    }
    return Recipe.of(training, seed=0)


def aggregate(decoders: Sequence[Decoder], how: Recipe, sizes: Mapping[str, int], sample: Callable[..., None]) -> None:
    """As a step does it, slab by slab."""
    contributions = [
        Contribution(gradient=GradientId(place), weight=1.0, decoder=decoder) for place, decoder in enumerate(decoders)
    ]
    combination = how.combine(contributions, sizes)
    for slab in slabs(sizes):
        totals = {name: torch.empty(sizes[name], dtype=torch.float32) for name in slab}
        combination.fill(totals)
        sample(totals)
        totals.clear()


def measure(
    case: Case, rule: str, opened: Callable[[], list[Decoder]], repeats: int, clock: Callable[[], float]
) -> Measured:
    how, sizes = recipe(rule, case.number), case.sizes
    seconds: list[float] = []
    found: dict[str, Tensor] = {}

    def sample(totals: Mapping[str, Tensor]) -> None:
        first = 0
        for name, size in sizes.items():
            if name in totals:
                found[name] = totals[name][-first % case.every :: case.every].clone()
            first += size

    def once() -> None:
        # They were opened when they were judged.
        decoders = opened()
        begin = clock()
        aggregate(decoders, how, sizes, sample)
        seconds.append(clock() - begin)

    once()
    if how.compiled_from is not None:
        from coordinator.aggregators.compiled import folds

        folds.finish()
    extra = extra_bytes(once)
    for _ in range(repeats):
        once()
    values = torch.cat([found[name] for name in sizes]).double().numpy()
    return Measured(seconds=statistics.median(seconds[2:]), extra=extra, error=case.error(rule, values))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The fastest way, or why there is none."""

    name: str
    measured: Measured | None = None


def fastest_peer(case: Case, rule: str, others: Peers | None, repeats: int) -> Peer:
    if others is None:
        return Peer(name="not asked")
    found: dict[str, Measured] = {}
    failed: list[str] = []
    for way in others.ask("ways", rule=rule):
        try:
            answer = others.ask("rule", seconds=CUT_OFF_SECONDS, rule=rule, way=way, repeats=repeats, every=case.every)
        except TooSlow:
            failed.append(f"{way}: cut off after {CUT_OFF_SECONDS:.0f} s")
            continue
        if answer is None:
            failed.append(f"{way}: out of memory")
            continue
        error = case.error(rule, np.asarray(answer["values"]))
        found[way] = Measured(seconds=answer["seconds"], extra=answer["extra"], error=error)
    if not found:
        return Peer(name="; ".join(failed) or "in neither")
    name = min(found, key=lambda way: found[way].seconds)
    return Peer(name=name, measured=found[name])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    rule: str
    ours: Measured
    stored: Measured | None
    peer: Peer

    def cells(self, read_seconds: float) -> list[str]:
        theirs = self.peer.measured
        return [
            self.rule,
            _milliseconds(self.ours.seconds),
            f"{self.ours.seconds / read_seconds:.1f}",
            _mebibytes(self.ours.extra),
            f"{self.ours.error:.0e}",
            "" if self.stored is None else _milliseconds(self.stored.seconds),
            "" if self.stored is None else _mebibytes(self.stored.extra),
            self.peer.name,
            "" if theirs is None else _milliseconds(theirs.seconds),
            "" if theirs is None else _mebibytes(theirs.extra),
            "" if theirs is None else f"{theirs.error:.0e}",
            "" if theirs is None else f"{theirs.seconds / self.ours.seconds:.1f}",
        ]


COLUMNS: Final = (
    "rule",
    "ms",
    "reads",
    "extra MiB",
    "error",
    "from PostgreSQL, ms",
    "extra MiB",
    "fastest library",
    "ms",
    "extra MiB",
    "error",
    "times faster",
)


def run(
    case: Case, rules: Sequence[str], others: Peers | None, *, repeats: int, stored: bool, threads: int
) -> list[Row]:
    """Prints what was found, and returns what has a target."""
    clock = clock_for(threads)
    read_seconds = statistics.median(_seconds(case.read_once, clock) for _ in range(9))
    if others is not None:
        others.prepare(
            "gradients",
            paths=[str(path) for path in case.paths],
            offset=len(case.manifest.header()),
            sizes=list(case.sizes.values()),
            num_byzantine=NUM_BYZANTINE,
        )
    with in_postgres(case) if stored else contextlib.nullcontext() as opened:
        results = [
            Result(
                rule=rule,
                ours=measure(case, rule, case.decoders, repeats, clock),
                # Here PostgreSQL's time counts too.
                stored=None if opened is None else measure(case, rule, opened, 2, time.perf_counter),
                peer=fastest_peer(case, rule, others, max(1, repeats // 2)),
            )
            for rule in rules
        ]
    print_table(
        f"{case.title}, f = {NUM_BYZANTINE}",
        COLUMNS,
        [result.cells(read_seconds) for result in results],
        [
            f"To read all blobs once takes {_milliseconds(read_seconds)} ms. Threads on either side: {threads}.",
            "Medians; with one thread of the processor time, since other work may run on the machine.",
            "Extra memory is resident memory above that before, the aggregate included.",
        ],
    )
    rows = [row for result in results for row in _targets(case, result, read_seconds)]
    return [*rows, *_memory_targets(case, results)]


def _targets(case: Case, result: Result, read_seconds: float) -> Iterator[Row]:
    at_least = RULES[result.rule]
    theirs = result.peer.measured
    where = f"{result.rule}, {case.title}"
    if case.number != NUM_GRADIENTS_OF_TARGETS:
        return
    if theirs is not None and at_least is not None and case.manifest.num_values == 10**6:
        yield Row(
            question=where,
            measured=f"{_milliseconds(result.ours.seconds)} ms",
            against=f"{result.peer.name} {_milliseconds(theirs.seconds)} ms",
            ratio=theirs.seconds / result.ours.seconds,
            at_least=at_least,
        )
    if result.rule in BY_COORDINATE:
        yield Row(
            question=where,
            measured=f"{_milliseconds(result.ours.seconds)} ms",
            against=f"reading once {_milliseconds(read_seconds)} ms",
            ratio=result.ours.seconds / read_seconds,
            at_most=MOST_READS,
        )


def _memory_targets(case: Case, results: Sequence[Result]) -> Iterator[Row]:
    """Of the rule that takes most."""
    for kind, measured in (("", [(it.rule, it.ours) for it in results]), (" from PostgreSQL", _stored(results))):
        known = [(one.extra, rule) for rule, one in measured if one.extra is not None]
        if known and case.number == NUM_GRADIENTS_OF_TARGETS:
            extra, rule = max(known)
            yield Row(
                question=f"extra memory{kind}, {case.title}",
                measured=f"{rule} {_mebibytes(extra)} MiB",
                against=f"{MOST_EXTRA >> 20} MiB",
                ratio=extra / MOST_EXTRA,
                at_most=1.0,
            )


def _stored(results: Sequence[Result]) -> list[tuple[str, Measured]]:
    return [(it.rule, it.stored) for it in results if it.stored is not None]


def _seconds(action: Callable[[], None], clock: Callable[[], float]) -> float:
    begin = clock()
    action()
    return clock() - begin


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.0f}" if seconds >= 0.01 else f"{seconds * 1000:,.1f}"


def _mebibytes(number: int | None) -> str:
    return "not known" if number is None else f"{number / 2**20:,.0f}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.aggregation", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="16 gradients of 0.1 million values, nothing of PostgreSQL"
    )
    parser.add_argument("--gradients", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--millions", type=float, nargs="+", default=[1.0, 10.0])
    parser.add_argument("--only", nargs="+", choices=list(RULES), default=list(RULES))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--alone", action="store_true", help="without the libraries")
    given = parser.parse_args(arguments)
    cases = [(16, 10**5)] if given.quick else [(n, round(m * 1e6)) for m in given.millions for n in given.gradients]
    before = torch.get_num_threads()
    torch.set_num_threads(given.threads)
    rows: list[Row] = []
    try:
        for number, num_values in cases:
            with (
                tempfile.TemporaryDirectory(prefix="barnraise-bench-", dir=real_disk()) as folder,
                contextlib.nullcontext() if given.alone else peers(threads=given.threads) as others,
            ):
                case = Case.made(number, num_values, Path(folder))
                stored = not given.quick and number == NUM_GRADIENTS_OF_TARGETS
                rows += run(case, given.only, others, repeats=given.repeats, stored=stored, threads=given.threads)
    finally:
        torch.set_num_threads(before)
    print_rows("Aggregation", rows)


if __name__ == "__main__":
    main()
