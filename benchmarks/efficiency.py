"""How much of the hardware trains? Workers, coordinator and database together against as many plain PyTorch loops.

    python -m benchmarks.efficiency [--quick] [--seconds S] [--rounds R] [--workers 1,2] [--modes async,sync]
                                    [--only dcgan,small_transformer] [--per-update N] [--downlinks none,sign]

One run, the same cores: the sides take turns, the other side is paused. A worker and a loop have one thread each. What
counts is the samples that moved the model. All processes are real: `coordinator start` on its embedded server, and
`worker join`.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, Final

from sqlalchemy import Engine, text

from benchmarks.classroom import Classroom, Project, Spent, classroom, project, talking
from benchmarks.plain import DATA, UNIT_SAMPLES
from benchmarks.table import Row, print_rows, print_table
from contract.config import Config
from contract.ids import RunId
from coordinator.class_size import num_gradients_for

AT_LEAST: Final = {"async": 0.95, "sync": 0.90}
NEW_VERSION_SECONDS: Final = 0.5
USED_AT_LEAST: Final = 0.95
_WARM_VERSIONS: Final = 3

_NOW = text("SELECT clock_timestamp()")
_HEAD = text("SELECT head_version FROM ledger.runs WHERE id = :run")
_MERGED = text("""
    SELECT m.number, extract(epoch FROM m.created_at)::float8 AS made, sum(g.num_samples)::bigint AS samples,
           extract(epoch FROM max(g.submitted_at))::float8 AS complete, count(*) AS gradients
      FROM ledger.model_versions m JOIN ledger.gradients g ON g.run_id = m.run_id AND g.merged_version = m.number
     WHERE m.run_id = :run AND m.created_at BETWEEN :since AND :until
     GROUP BY m.number, m.created_at ORDER BY m.number""")
_VERSION_BYTES = text("""
    SELECT coalesce(delta_bytes, 0) + CASE WHEN is_keyframe THEN num_bytes ELSE 0 END AS written
      FROM ledger.model_versions WHERE run_id = :run AND created_at BETWEEN :since AND :until""")
_FATES = text("""
    SELECT count(*) FILTER (WHERE state = 'merged') AS used, count(*) AS computed
      FROM ledger.work_units
     WHERE run_id = :run AND attempt > 0 AND finished_at BETWEEN :since AND :until""")
_UNITS = text("""
    SELECT epoch, first_sample AS first, base_version, extract(epoch FROM leased_at)::float8 AS leased
      FROM ledger.work_units WHERE run_id = :run AND leased_at IS NOT NULL ORDER BY leased_at""")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    seconds: float
    rounds: int
    workers: tuple[int, ...] = (1, 2)
    modes: tuple[str, ...] = ("async", "sync")
    downlinks: tuple[str, ...] = (Config().compression.downlink,)
    per_update: int | None = None


FULL: Final = Extent(seconds=15, rounds=5)
QUICK: Final = Extent(seconds=4, rounds=1)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One turn of a class: what it merged, and when."""

    since: datetime.datetime
    until: datetime.datetime
    samples_per_second: float
    units: int
    spent: Spent


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Loops:
    """Independent plain loops, side by side."""

    pipes: Sequence[tuple[IO[str], IO[str]]]

    def turn(self, seconds: float) -> float:
        for ask, _ in self.pipes:
            ask.write(f"{seconds}\n")
            ask.flush()
        told = [json.loads(answer.readline()) for _, answer in self.pipes]
        return float(sum(one["samples"] / one["seconds"] for one in told))


@contextlib.contextmanager
def plain_loops(workload: str, number: int, *options: str) -> Iterator[Loops]:
    with contextlib.ExitStack() as stack:
        arguments = ["-m", "benchmarks.plain", workload, *options]
        pipes = [stack.enter_context(talking(arguments)) for _ in range(number)]
        for _, answer in pipes:
            assert answer.readline() == "ready\n"
        yield Loops(pipes=pipes)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a mode came to, over all its turns."""

    mode: str
    downlink: str
    per_update: int
    rates: Sequence[float]
    used: float
    new_version_seconds: Sequence[float]
    milliseconds: Mapping[str, float]
    version_megabytes: float
    peak_megabytes: tuple[float, float]


def sections_for(workload: str, mode: str, per_update: int, downlink: str) -> dict[str, dict[str, object]]:
    return {
        "model": {"name": workload},
        "data": {"name": DATA[workload]},
        "training": {
            "mode": mode,
            "batch_size": UNIT_SAMPLES[workload],
            "batches_per_work_unit": 1,
            "num_workunits_per_update": per_update,
            "spare_units": 0,
            "num_epochs": 1000,
        },
        "compression": {"codec": "fp16", "downlink": downlink},
        # The loops neither measure nor draw anything beside the training.
        "coordinator": {"evaluate_every": 0, "sample_every": 0},
    }


def turn_of(taught: Classroom, seconds: float) -> Window:
    engine, run = taught.project.engine, taught.run
    taught.resume()
    try:
        _wait_for_head(taught, _head(engine, run) + _WARM_VERSIONS)
        since, before = _now(engine), taught.spent()
        time.sleep(seconds)
        until, spent = _now(engine), taught.spent().since(before)
    finally:
        taught.pause()
    merged = _rows(engine, _MERGED, run, since, until)
    if len(merged) < 2:
        raise RuntimeError(f"{seconds:g} seconds are too few for two updates of this run")
    span = merged[-1]["made"] - merged[0]["made"]
    return Window(
        since=since,
        until=until,
        samples_per_second=sum(row["samples"] for row in merged[1:]) / span,
        units=sum(row["gradients"] for row in merged),
        spent=spent,
    )


def summary(taught: Classroom, mode: str, downlink: str, per_update: int, windows: Sequence[Window]) -> Trained:
    engine, run = taught.project.engine, taught.run
    fates = [_rows(engine, _FATES, run, one.since, one.until)[0] for one in windows]
    units = sum(one.units for one in windows)
    return Trained(
        mode=mode,
        downlink=downlink,
        per_update=per_update,
        rates=[one.samples_per_second for one in windows],
        used=sum(fate["used"] for fate in fates) / sum(fate["computed"] for fate in fates),
        new_version_seconds=new_version_seconds(taught, windows),
        milliseconds={
            who: 1000 * sum(getattr(one.spent, who) for one in windows) / units
            for who in ("workers", "coordinator", "database")
        },
        version_megabytes=statistics.mean(
            row["written"] / 1e6 for one in windows for row in _rows(engine, _VERSION_BYTES, run, one.since, one.until)
        ),
        peak_megabytes=taught.peak_megabytes(),
    )


def new_version_seconds(taught: Classroom, windows: Sequence[Window]) -> list[float]:
    """For each version and each worker: from the submission that completed it until the worker computes on it."""
    engine, run = taught.project.engine, taught.run
    with engine.connect() as conn:
        bases = {(row.epoch, row.first): row.base_version for row in conn.execute(_UNITS, {"run": run})}
    complete = {
        row["number"]: row["complete"] for one in windows for row in _rows(engine, _MERGED, run, one.since, one.until)
    }
    found: list[float] = []
    for log in taught.computed():
        first_on: dict[int, float] = {}
        for line in log:
            version = bases.get((line["epoch"], line["first"]))
            if version is not None:
                first_on.setdefault(version, line["began"])
        for one in windows:
            ends = one.until.timestamp()
            found += [
                began - complete[version]
                for version, began in first_on.items()
                if version in complete and one.since.timestamp() <= complete[version] and began <= ends
            ]
    return sorted(found)


def compare(made: Project, workload: str, num_workers: int, extent: Extent) -> tuple[list[Row], list[list[str]]]:
    per_update = extent.per_update or num_gradients_for(num_workers)
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(plain_loops(workload, num_workers))
        sides: dict[str, Callable[[float], Any]] = {"plain": plain.turn}
        if workload == "dcgan":
            sides["channels last"] = stack.enter_context(plain_loops(workload, num_workers, "--channels-last")).turn
        taught = {}
        for mode, downlink in itertools.product(extent.modes, extent.downlinks):
            name = f"{workload.replace('_', '-')}-{mode}-{downlink}-{num_workers}"
            sections = sections_for(workload, mode, per_update, downlink)
            one = stack.enter_context(classroom(made, name, sections, num_workers=num_workers))
            taught[f"{mode}, downlink {downlink}"] = (mode, downlink, one)
            _wait_for_head(one, 2)
            one.pause()
        came: dict[str, list[Any]] = {name: [] for name in (*sides, *taught)}
        for _ in range(extent.rounds):
            for name, turn in sides.items():
                came[name].append(turn(extent.seconds))
            for side, (_, _, one) in taught.items():
                came[side].append(turn_of(one, extent.seconds))
        trained = [
            summary(one, mode, downlink, per_update, came[side]) for side, (mode, downlink, one) in taught.items()
        ]
    what = f"{workload}, {num_workers} {'worker' if num_workers == 1 else 'workers'}"
    return (
        [row for one in trained for row in _speed_rows(f"{what}, {one.mode}, downlink {one.downlink}", one, came)],
        [_details(f"{what}, {one.mode}, downlink {one.downlink}", one) for one in trained],
    )


def _speed_rows(what: str, one: Trained, came: Mapping[str, Sequence[Any]]) -> list[Row]:
    rows = [
        Row(
            question=f"{what}, {one.per_update} per update",
            measured=f"{statistics.median(one.rates):.1f}/s",
            against=f"{side} {statistics.median(came[side]):.1f}/s",
            ratio=statistics.median(one.rates) / statistics.median(came[side]),
            at_least=AT_LEAST[one.mode] if side == "plain" else None,
        )
        for side in ("plain", "channels last")
        if side in came
    ]
    rows.append(
        Row(
            question=f"{what}, used units",
            measured=f"{one.used:.1%}",
            ratio=one.used,
            at_least=USED_AT_LEAST if one.mode == "async" else None,
        )
    )
    if one.new_version_seconds:
        median = _percentile(one.new_version_seconds, 50)
        rows.append(
            Row(
                question=f"{what}, to the new version",
                measured=f"p50 {median:.2f} s, p95 {_percentile(one.new_version_seconds, 95):.2f} s",
                ratio=median,
                at_most=NEW_VERSION_SECONDS if one.mode == "sync" else None,
            )
        )
    return rows


def _details(what: str, one: Trained) -> list[str]:
    coordinator, worker = one.peak_megabytes
    return [
        what,
        *(f"{one.milliseconds[who]:.0f}" for who in ("workers", "coordinator", "database")),
        f"{one.version_megabytes:.1f}",
        f"{coordinator:.0f}",
        f"{worker:.0f}",
    ]


def _percentile(values: Sequence[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def _rows(
    engine: Engine, statement: Any, run: RunId, since: datetime.datetime, until: datetime.datetime
) -> list[Mapping[str, Any]]:
    with engine.connect() as conn:
        return [dict(row) for row in conn.execute(statement, {"run": run, "since": since, "until": until}).mappings()]


def _now(engine: Engine) -> datetime.datetime:
    with engine.connect() as conn:
        now: datetime.datetime = conn.execute(_NOW).scalar_one()
        return now


def _head(engine: Engine, run: RunId) -> int:
    with engine.connect() as conn:
        return int(conn.execute(_HEAD, {"run": run}).scalar_one())


def _wait_for_head(taught: Classroom, version: int) -> None:
    deadline = time.monotonic() + 120
    while _head(taught.project.engine, taught.run) < version:
        taught.require_alive()
        if time.monotonic() > deadline:
            raise RuntimeError(f"version {version} did not come within two minutes")
        time.sleep(0.1)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.efficiency", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short turn of each side")
    parser.add_argument("--seconds", type=float, help="of a turn")
    parser.add_argument("--rounds", type=int, help="turns of each side")
    parser.add_argument("--workers", help="how many, separated by commas")
    parser.add_argument("--modes", help="async, sync or both")
    parser.add_argument("--downlinks", help="codecs for the way of the versions, separated by commas")
    parser.add_argument("--per-update", type=int, help="gradients of an update; as `auto` has it unless given")
    parser.add_argument("--only", default=",".join(DATA), help="some of the workloads, separated by commas")
    given = parser.parse_args(arguments)
    extent = QUICK if given.quick else FULL
    changes: dict[str, Any] = {"per_update": given.per_update}
    for name in ("seconds", "rounds"):
        if getattr(given, name):
            changes[name] = getattr(given, name)
    if given.workers:
        changes["workers"] = tuple(int(number) for number in given.workers.split(","))
    if given.modes:
        changes["modes"] = tuple(given.modes.split(","))
    if given.downlinks:
        changes["downlinks"] = tuple(given.downlinks.split(","))
    extent = dataclasses.replace(extent, **changes)
    rows: list[Row] = []
    details: list[list[str]] = []
    with project() as made:
        for workload in given.only.split(","):
            for num_workers in extent.workers:
                compared, detailed = compare(made, workload, num_workers, extent)
                rows += compared
                details += detailed
    print_rows(
        "Training",
        rows,
        [
            f"Medians of {extent.rounds} alternating turns of {extent.seconds:g} s; one thread to a worker and a loop.",
            "To the new version: from the submission that completes it until a worker computes on it. In async a "
            "worker first ends the units it has, so there is no target there.",
        ],
    )
    print_table(
        "What it took",
        (
            "run",
            "workers, ms/unit",
            "coordinator, ms/unit",
            "database, ms/unit",
            "written, MB/version",
            "coordinator, MB",
            "worker, MB",
        ),
        details,
        [
            "Processor time for each merged unit, by process; what of the model was written to the ledger; resident "
            "memory at its highest."
        ],
    )


if __name__ == "__main__":
    main()
