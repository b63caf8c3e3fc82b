"""Whether this computer can take part, and what to do where it cannot. Looks only: joins nothing, changes nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, text

from contract.config import Config
from contract.database import check_schema, make_engine
from contract.errors import BarnraiseError
from contract.sources.base import Dataset, DecodedDataset
from contract.states import RunState
from contract.workloads.base import Workload
from contract.workloads.units import Unit
from worker import devices, ledger
from worker.compute import Computer
from worker.ledger import RunDefinition
from worker.manners import Manners
from worker.preparing import open_whatever_is_here, open_workload, require_same_data
from worker.remembered import BatchSizes, cache_folder

_CLOCK_TOLERANCE_SECONDS: Final = 120
_MEASURES_SECONDS: Final = 2.0
_VERSIONS_ON_DISK: Final = 4
_BROKEN_NAMED: Final = 10
_CLOCK = text("SELECT clock_timestamp()")
_MISSING_FUNCTIONS = text("""
    SELECT name FROM unnest(CAST(:names AS text[])) AS name
     WHERE NOT EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = to_regnamespace('volunteer') AND p.proname = name
                          AND has_function_privilege(p.oid, 'EXECUTE'))""")
_RUN = text("SELECT state, num_workers FROM watch.progress WHERE run = :run")
_FUNCTIONS: Final = ("join_v1", "claim_v1", "heartbeat_v1", "fetch_manifest_v1", "fetch_part_v1", "upload_part_v1",
                     "submit_v1", "release_v1", "leave_v1")  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    good: bool
    text: str


def examine(config: Config, config_file: Path | None = None, *, every_picture: bool = False) -> Iterator[Finding]:
    """One after another, as they are found: some take a while. What hangs on one that failed is left out.

    Data that comes from the Hub and is not here yet is downloaded, as it would be at joining.
    """
    definition = None
    try:
        with contextlib.closing(_Connected(config)) as here:
            yield from _database(here.conn, config)
            definition = ledger.run_definition(here.conn, run=config.run.name)
    except BarnraiseError as error:
        yield _bad(error)
    try:
        device = devices.choose(config.worker.device)
    except BarnraiseError as error:
        yield _bad(error)
        return
    devices.use_threads(config.worker.threads, device=device, num_processes=1)
    yield from _computer(config, device)
    if definition is None:
        return
    try:
        yield from _work(config, config_file, definition, device, every_picture=every_picture)
    except (BarnraiseError, RuntimeError, MemoryError) as error:
        yield _bad(error)


class _Connected:
    def __init__(self, config: Config) -> None:
        self._engine = make_engine(config.database, application="worker doctor")
        self.conn = self._engine.connect()

    def close(self) -> None:
        self.conn.close()
        self._engine.dispose()


def _bad(error: Exception) -> Finding:
    return Finding(good=False, text=" ".join(str(error).split()))


def _database(conn: Connection, config: Config) -> Iterator[Finding]:
    url = conn.engine.url
    yield Finding(good=True, text=f"{url.host or 'the database'} answers, and knows {url.username}")
    began = time.monotonic()
    there = conn.execute(_CLOCK).scalar_one()
    yield Finding(good=True, text=f"an answer takes {1000 * (time.monotonic() - began):.0f} ms")
    check_schema(conn)
    missing = list(conn.execute(_MISSING_FUNCTIONS, {"names": list(_FUNCTIONS)}).scalars())
    if missing:
        advice = "your invitation may be revoked, ask the instructor"
        yield Finding(good=False, text=f"you may not call {', '.join(missing)}; {advice}")
    else:
        yield Finding(good=True, text="you may do all that a volunteer does")
    run = conn.execute(_RUN, {"run": config.run.name}).one_or_none()
    if run is None:
        yield Finding(good=True, text=f"run {config.run.name} has not begun yet; the instructor begins it")
    else:
        is_open = run.state not in (RunState.FINISHED, RunState.FAILED)
        over = "" if is_open else "; there is nothing left to compute, ask the instructor which run is next"
        yield Finding(
            good=is_open, text=f"run {config.run.name} is {run.state}, with {run.num_workers} workers there{over}"
        )
    apart = abs((there - datetime.datetime.now(datetime.UTC)).total_seconds())
    yield Finding(
        good=True,
        text="this computer's clock agrees with the database's"
        if apart < _CLOCK_TOLERANCE_SECONDS
        else f"note: this computer's clock is {apart:.0f} s off; nothing here depends on it, its logs will mislead",
    )


def _computer(config: Config, device: str) -> Iterator[Finding]:
    found = ", ".join(devices.present())
    yield Finding(good=True, text=f"computes on {devices.described(device)}; this computer has {found}")
    manners = Manners.of(config)
    resting = manners.why_rest_now()
    if resting is not None:
        yield Finding(good=True, text=f"note: a worker would rest now: {resting}")
    elif manners.hours is not None:
        yield Finding(good=True, text=f"works within its hours {manners.hours}, and would now")


def _work(
    config: Config, config_file: Path | None, definition: RunDefinition, device: str, *, every_picture: bool
) -> Iterator[Finding]:
    workload = open_workload(definition)
    dataset = open_whatever_is_here(definition, workload, config, config_file)
    if every_picture and isinstance(dataset, DecodedDataset):
        yield _pictures(dataset)
    require_same_data(definition, dataset)
    yield Finding(good=True, text=f"the run's data is here, and the same: {dataset.description}")
    yield _disk(config, workload)
    yield _speed(config, definition, workload, dataset, device)


def _pictures(dataset: DecodedDataset) -> Finding:
    broken = list(dataset.broken())
    if not broken:
        return Finding(good=True, text=f"all {dataset.num_samples} pictures can be read")
    more = f" and {len(broken) - _BROKEN_NAMED} more" if len(broken) > _BROKEN_NAMED else ""
    named = ", ".join(broken[:_BROKEN_NAMED])
    return Finding(good=False, text=f"damaged pictures: {named}{more}; copy them once more from the instructor")


def _disk(config: Config, workload: Workload) -> Finding:
    folder = cache_folder(config)
    standing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(standing).free
    needed = _VERSIONS_ON_DISK * workload.manifest().num_bytes
    if free < needed:
        advice = "free some, or set worker.cache_directory to a folder on another disk; without it each start downloads"
        return Finding(
            good=False, text=f"{free / 1e6:.0f} MB free at {folder}, {needed / 1e6:.0f} are wanted; {advice}"
        )
    return Finding(good=True, text=f"{free / 1e9:.1f} GB free at {folder}, {needed / 1e6:.0f} MB are wanted")


def _speed(config: Config, definition: RunDefinition, workload: Workload, dataset: Dataset, device: str) -> Finding:
    """A batch to warm up, then batches of the run's own for two seconds: as a unit is computed, and nobody's unit."""
    batch_size = int(definition.training["batch_size"])
    own = config.worker.batch_size
    computer = Computer(
        workload, dataset, run_seed=definition.seed, batch_size=batch_size, device=device,
        own_batch_size=BatchSizes(folder=cache_folder(config)).get(workload, device) if own == "auto" else own,
    )  # fmt: skip
    computer.load(workload.initial(definition.seed))
    num_samples = min(batch_size, dataset.num_samples)
    unit = Unit(epoch=0, first_sample=0, num_samples=num_samples, seed=0)
    samples = computer.samples(unit)
    computer.gradient(unit, samples)
    num_done, began = 0, time.monotonic()
    while (seconds := time.monotonic() - began) < _MEASURES_SECONDS:
        computer.gradient(unit, samples)
        num_done += num_samples
    speed = f"computes {num_done / seconds:,.0f} samples/s of {workload.name}, {computer.batch_size} at a time"
    return Finding(good=True, text=f"{speed}: {batch_size} take {batch_size * seconds / num_done:.1f} s")
