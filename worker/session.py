"""A volunteer's life on one screen: join, claim, compute, upload, repeat."""

from __future__ import annotations

import dataclasses
import platform
import socket
import threading
import time
from pathlib import Path

import torch
from sqlalchemy import Engine

from contract.compressors import CODECS
from contract.config import Config, export_token
from contract.database import make_engine, user_directory
from contract.errors import BarnraiseError, DataError, RunNotOpen, UpgradeRequired
from contract.sources import SOURCES
from contract.sources.base import Dataset
from contract.states import RunState
from contract.tensors import unpack
from contract.workloads import WORKLOADS
from contract.workloads.base import Workload
from worker import ledger
from worker.cache import VersionCache
from worker.compute import Computer
from worker.heartbeat import Heartbeat, Holdings, Vitals
from worker.ledger import Joined
from worker.pipeline import Ahead, Behind, Result, Surroundings, Task
from worker.reporting import Reporter
from worker.retrying import StoppedError, until_it_works


class UnitDroppedError(Exception):
    """The unit under way is not needed any more."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    config: Config
    device: str
    reporter: Reporter
    stop: threading.Event

    def run(self) -> None:
        """Until the run is over or somebody stops us; a unit in hand is given back then."""
        engine = make_engine(self.config.database, application="worker")
        beats = make_engine(self.config.database, application="worker heartbeat")
        joined = until_it_works(lambda: self._join(engine), stop=self.stop, report=self.reporter.trouble)
        workload, dataset = self._prepare(joined)
        holdings = Holdings()
        heartbeat = Heartbeat(beats, joined.worker, holdings, every_seconds=joined.heartbeat_seconds)
        here = Surroundings(
            engine=engine, joined=joined, holdings=holdings, heartbeat=heartbeat, stop=self.stop,
            report=self.reporter.trouble,
        )  # fmt: skip
        own_batch_size = self.config.worker.batch_size
        computer = Computer(
            workload, dataset, run_seed=joined.seed, batch_size=joined.training["batch_size"],
            own_batch_size=None if own_batch_size == "auto" else own_batch_size, device=self.device,
        )  # fmt: skip
        ahead = Ahead(
            here, computer, VersionCache(self._cache_folder()), poll_seconds=self.config.worker.poll_interval,
            pooler=self.config.database.pooler,
        )  # fmt: skip
        codec = CODECS.build(joined.training["codec"], joined.training.get("codec_options", {}))
        behind = Behind(here, codec, self.reporter.delivered)
        heartbeat.start()
        ahead.start()
        behind.start()
        try:
            self._work(here, workload, computer, ahead, behind)
        except StoppedError:
            pass
        finally:
            self._leave(here, ahead, behind)
            engine.dispose()
            beats.dispose()
        refusal = ahead.ended_by or behind.ended_by or heartbeat.refusal
        if isinstance(refusal, RunNotOpen):
            self.reporter.ended(str(refusal))
        elif refusal is not None:
            raise refusal

    def _work(self, here: Surroundings, workload: Workload, computer: Computer, ahead: Ahead, behind: Behind) -> None:
        manifest = workload.manifest()
        while (task := ahead.next()) is not None:
            if task.weights is not None:
                computer.load(unpack(task.weights, manifest, max_bytes=len(task.weights)))
                # The model has them now; a second copy would lie here for as long as the unit takes.
                task = dataclasses.replace(task, weights=None)
            try:
                result = self._compute(here, computer, task)
            except UnitDroppedError as dropped:
                self.reporter.dropped(task.lease, str(dropped))
            except (RuntimeError, MemoryError, ArithmeticError, BarnraiseError) as failure:
                self._give_back(here, task, str(failure).splitlines()[0][:1000] or type(failure).__name__, failed=True)
            else:
                here.holdings.vitals = Vitals(phase="uploading", progress=1.0)
                behind.deliver(result)

    def _compute(self, here: Surroundings, computer: Computer, task: Task) -> Result:
        began = time.monotonic()
        lease = task.lease

        def watch(done: int) -> None:
            if here.stop.is_set():
                raise StoppedError
            reason = here.holdings.why_dropped(lease)
            if reason is not None:
                raise UnitDroppedError(reason)
            rate = done / max(1e-6, time.monotonic() - began)
            here.holdings.vitals = Vitals(
                phase="computing", progress=done / lease.num_samples, samples_per_second=rate if done else None
            )

        self.reporter.began(lease)
        gradient = computer.gradient(task.unit, task.samples, watch=watch)
        self.reporter.computed(lease, gradient.num_samples, gradient.losses, time.monotonic() - began)
        return Result(lease=lease, gradient=gradient)

    def _give_back(self, here: Surroundings, task: Task, reason: str, *, failed: bool) -> None:
        here.holdings.remove(task.lease)

        def release() -> None:
            with here.engine.begin() as conn:
                ledger.release(conn, lease=task.lease, reason=reason, failed=failed)

        self.reporter.trouble(f"unit {task.lease.unit} goes back: {reason}")
        until_it_works(release, stop=here.stop, report=self.reporter.trouble)

    def _leave(self, here: Surroundings, ahead: Ahead, behind: Behind) -> None:
        """Finished work is delivered first; units in hand return with the departure."""
        behind.finish()
        self.stop.set()
        ahead.join()
        here.heartbeat.stop()
        reason = "stopped by its owner" if here.holdings.run_state is RunState.RUNNING else "the run is over"
        try:
            with here.engine.begin() as conn:
                ledger.leave(conn, worker=here.joined.worker, reason=reason)
        except BarnraiseError as error:
            self.reporter.trouble(f"could not say goodbye: {str(error).splitlines()[0]}")

    def _join(self, engine: Engine) -> Joined:
        with engine.begin() as conn:
            return ledger.join(
                conn,
                run=self.config.run.name,
                name=self.config.worker.name or socket.gethostname(),
                host=socket.gethostname(),
                device=self.device,
                capabilities={"threads": torch.get_num_threads()},
                software={"python": platform.python_version(), "torch": torch.__version__},
            )

    def _prepare(self, joined: Joined) -> tuple[Workload, Dataset]:
        workload = WORKLOADS.build(joined.workload, joined.workload_options)
        if workload.version != joined.training["workload_version"]:
            raise UpgradeRequired(
                f"the run computes {workload.name} version {joined.training['workload_version']}, this Barnraise has "
                f"version {workload.version}; upgrade with `pip install --upgrade barnraise`"
            )
        export_token(self.config)
        source = SOURCES.build(joined.data["name"], joined.data["options"])
        path = self.config.data.path
        dataset = source.open(
            path=Path(path) if path else None, split="train", num_samples=joined.data["num_samples"], seed=joined.seed,
            **workload.view,
        )  # fmt: skip
        if dataset.fingerprint != joined.data["fingerprint"]:
            raise DataError(
                source.name,
                f"this computer's data is not the run's: here it is {dataset.description}, "
                f"fingerprint {dataset.fingerprint[:12]}, the run's is {joined.data['fingerprint'][:12]}",
                "get the files that the instructor has, and set data.path to them",
            )
        self.reporter.joined(joined, workload, dataset, self.device)
        return workload, dataset

    def _cache_folder(self) -> Path:
        given = self.config.worker.cache_directory
        return Path(given).expanduser() if given else user_directory() / "versions"
