"""A volunteer's life on one screen: join, claim, compute, upload, repeat."""

from __future__ import annotations

import contextlib
import dataclasses
import platform
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import torch
from sqlalchemy import Engine

from contract.config import Config
from contract.database import check_schema, make_engine
from contract.deltas import DeltaForm
from contract.errors import BarnraiseError, LeaseLost, LoginRefused, NotFound, RunNotOpen
from contract.states import RunState
from contract.tensors import unpack
from contract.traces import open_traces
from contract.workloads.base import LocalSteps, Workload
from worker import devices, ledger
from worker.cache import VersionCache
from worker.compute import Computer, Local
from worker.feedback import Encoded, open_sender
from worker.following import Follower
from worker.happenings import Began, Computed, Delivered, Dropped, Ended, Fetched, Message, Prepared, Progressed, Report
from worker.heartbeat import Heartbeat, Holdings, Vitals
from worker.ledger import Joined
from worker.pipeline import Ahead, Behind, Result, Surroundings, Task
from worker.preparing import open_dataset, open_workload, with_threads
from worker.remembered import BatchSizes, cache_folder
from worker.retrying import Calm, StoppedError, until_it_works
from worker.standing import Fates

_TELLS_EVERY_SECONDS: Final = 0.25


class UnitDroppedError(Exception):
    """The unit under way is not needed any more."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    config: Config
    config_file: Path | None
    device: str
    report: Report
    stop: threading.Event
    why_stopped: Callable[[], str]

    def run(self) -> None:
        """Until the run is over or somebody stops us; a unit in hand is given back then."""
        with contextlib.ExitStack() as open_here:
            engine = make_engine(self.config.database, application="worker")
            open_here.callback(engine.dispose)
            beats = make_engine(self.config.database, application="worker heartbeat")
            open_here.callback(beats.dispose)
            trouble = Calm(lambda text: self.report(Message(text=text)))
            try:
                joined = self._join_when_it_begins(engine, trouble)
            except StoppedError:
                return
            except RunNotOpen as over:
                # Whoever comes when the work is done has nothing to mend.
                self.report(Ended(reason=str(over)))
                return
            holdings = Holdings()
            holdings.vitals = Vitals(phase="preparing")
            fates = Fates(joined, self.config.run.name, holdings, self.report)
            heartbeat = Heartbeat(
                beats, joined.worker, holdings, every_seconds=joined.heartbeat_seconds, look=fates.look
            )
            traces = open_traces(
                process="worker", run=joined.run, run_name=self.config.run.name, run_created_at=joined.run_created_at,
                say=lambda text: self.report(Message(text=text)),
            )  # fmt: skip
            open_here.callback(traces.close)
            here = Surroundings(
                engine=engine, joined=joined, holdings=holdings, heartbeat=heartbeat, stop=self.stop, report=trouble,
                traces=traces,
            )  # fmt: skip
            heartbeat.start()
            refusal = self._stay(here, fates)
        if isinstance(refusal, RunNotOpen):
            self.report(Ended(reason=str(refusal)))
        elif refusal is not None:
            raise refusal

    def _stay(self, here: Surroundings, fates: Fates) -> BarnraiseError | None:
        """Answers with the refusal that ended it, if one did."""
        try:
            workload, computer = self._prepare(here.joined)
        except (BarnraiseError, RuntimeError, MemoryError) as failure:
            # The instructor reads it in the ledger.
            self._say_goodbye(here, one_line(failure))
            raise
        training = here.joined.training
        follower = Follower(
            VersionCache(cache_folder(self.config) / "versions"), workload.manifest(),
            DeltaForm.of(workload, training["downlink"], training["downlink_options"]), stop=self.stop,
            fetched=lambda version, num_bytes: self.report(Fetched(version=version, num_bytes=num_bytes)),
        )  # fmt: skip
        ahead = Ahead(
            here, computer, follower,
            poll_seconds=self.config.worker.poll_interval, pooler=self.config.database.pooler,
        )  # fmt: skip

        def delivered(result: Result, encoded: Encoded) -> None:
            fates.delivered(result.lease)
            if here.holdings.vitals.phase == "uploading":
                here.holdings.vitals = Vitals()
            self.report(Delivered(unit=result.lease.unit, num_bytes=len(encoded.blob), codec=encoded.codec))

        sender = open_sender(
            here.joined, workload, folder=cache_folder(self.config) / "feedback", person=str(here.engine.url.username),
            say=lambda text: self.report(Message(text=text)), fates=fates.news,
        )  # fmt: skip
        behind = Behind(here, sender, delivered)
        ahead.start()
        behind.start()
        try:
            self._work(here, workload, computer, ahead, behind)
        except StoppedError:
            pass
        finally:
            self._leave(here, ahead, behind, fates)
            sender.close()
        return ahead.ended_by or behind.ended_by or here.heartbeat.refusal

    def _work(self, here: Surroundings, workload: Workload, computer: Computer, ahead: Ahead, behind: Behind) -> None:
        manifest = workload.manifest()
        while (task := ahead.next()) is not None:
            if task.weights is not None:
                computer.load(unpack(task.weights, manifest, max_bytes=len(task.weights)))
                # The model has them now; a second copy would lie here for as long as the unit takes.
                task = dataclasses.replace(task, weights=None)
                ahead.weights_returned()
            try:
                result = self._compute(here, computer, task)
            except UnitDroppedError as dropped:
                self.report(Dropped(unit=task.lease.unit, reason=str(dropped)))
                here.life(task.lease).ended("dropped", reason=str(dropped))
            except (RuntimeError, MemoryError, ArithmeticError, OSError, BarnraiseError) as failure:
                self._give_back(here, task, one_line(failure))
            else:
                here.holdings.vitals = Vitals(phase="uploading", progress=1.0)
                behind.deliver(result)

    def _compute(self, here: Surroundings, computer: Computer, task: Task) -> Result:
        began = told = time.monotonic()
        lease = task.lease

        def watch(done: int) -> None:
            nonlocal told
            if here.stop.is_set():
                raise StoppedError
            reason = here.holdings.why_dropped(lease)
            if reason is not None:
                raise UnitDroppedError(reason)
            now = time.monotonic()
            rate = done / max(1e-6, now - began)
            here.holdings.vitals = Vitals(
                phase="computing", progress=done / lease.num_samples, samples_per_second=rate if done else None
            )
            if now - told >= _TELLS_EVERY_SECONDS:
                told = now
                self.report(Progressed(num_done=done, samples_per_second=rate))

        self.report(Began(unit=lease.unit, version=lease.base_version, num_samples=lease.num_samples))
        with here.life(lease).step("compute") as about:
            about |= {"worker": lease.worker, "num_samples": lease.num_samples, "version": lease.base_version}
            gradient = computer.gradient(task.unit, task.samples, num_steps=task.num_steps, watch=watch)
        seconds = time.monotonic() - began
        self.report(
            Computed(
                unit=lease.unit, version=lease.base_version, num_samples=gradient.num_samples, losses=gradient.losses,
                seconds=seconds,
            )
        )  # fmt: skip
        return Result(lease=lease, gradient=gradient, seconds=seconds)

    def _give_back(self, here: Surroundings, task: Task, reason: str) -> None:
        here.holdings.remove(task.lease)
        here.life(task.lease).ended("failed", error=reason)

        def release() -> None:
            with here.engine.begin() as conn:
                ledger.release(conn, lease=task.lease, reason=reason, failed=True)

        self.report(Message(text=f"unit {task.lease.unit} goes back: {reason}"))
        # A unit whose lease is lost need not be given back.
        with contextlib.suppress(LeaseLost):
            until_it_works(release, stop=here.stop, report=here.report)

    def _leave(self, here: Surroundings, ahead: Ahead, behind: Behind, fates: Fates) -> None:
        """Finished work is delivered first; units in hand return with the departure."""
        behind.finish()
        self.stop.set()
        ahead.join()
        is_over = run_is_over(here.holdings.run_state, heard=(ahead.ended_by, behind.ended_by))
        self._say_goodbye(here, "the run is over" if is_over else self.why_stopped(), fates)

    def _say_goodbye(self, here: Surroundings, reason: str, fates: Fates | None = None) -> None:
        here.heartbeat.stop()
        try:
            with here.engine.begin() as conn:
                if fates is not None:
                    fates.look(conn)
                ledger.leave(conn, worker=here.joined.worker, reason=reason)
        except LoginRefused:
            # Whoever may not come in any more is told so, once.
            return
        except BarnraiseError as error:
            self.report(Message(text=f"could not say goodbye: {str(error).splitlines()[0]}"))

    def _join_when_it_begins(self, engine: Engine, trouble: Callable[[str], None]) -> Joined:
        """A class is often there before its teacher."""
        has_said = False
        while True:
            try:
                return until_it_works(lambda: self._join(engine), stop=self.stop, report=trouble)
            except NotFound as error:
                if not has_said:
                    self.report(
                        Message(text=f"{str(error).split(' (')[0]} yet; waiting for the instructor to begin it")
                    )
                    has_said = True
            if self.stop.wait(self.config.worker.poll_interval):
                raise StoppedError

    def _join(self, engine: Engine) -> Joined:
        with engine.begin() as conn:
            check_schema(conn)
            return ledger.join(
                conn,
                run=self.config.run.name,
                name=self._name,
                host=socket.gethostname(),
                device=self.device,
                capabilities={
                    "threads": torch.get_num_threads(),
                    "device": devices.described(self.device),
                    # Whoever names themselves here wants to be named on the model's page.
                    **({} if (credit := self.config.worker.credit) is None else {"credit": credit}),
                },
                software={"python": platform.python_version(), "torch": torch.__version__},
            )

    def _prepare(self, joined: Joined) -> tuple[Workload, Computer]:
        workload = open_workload(joined)
        dataset = open_dataset(joined, workload, self.config, self.config_file)
        self.report(
            Prepared(
                run=self.config.run.name, worker=joined.worker, name=self._name, workload=workload.name,
                data=dataset.description, device=devices.described(self.device), version=joined.head_version or 0,
            )
        )  # fmt: skip
        batch_sizes = BatchSizes(folder=cache_folder(self.config))
        own_batch_size = self.config.worker.batch_size
        is_auto = own_batch_size == "auto"

        def smaller(batch_size: int) -> None:
            self.report(Message(text=f"memory does not suffice; from here on {batch_size} samples at a time"))
            if is_auto:
                batch_sizes.keep(workload, self.device, batch_size)

        computer = Computer(
            workload, with_threads(dataset, self.config.worker.num_workers_dataloader), run_seed=joined.seed,
            batch_size=joined.training["batch_size"], device=self.device, on_smaller=smaller,
            local=local_of(joined, workload),
            own_batch_size=batch_sizes.get(workload, self.device) if own_batch_size == "auto" else own_batch_size,
        )  # fmt: skip
        return workload, computer

    @property
    def _name(self) -> str:
        return self.config.worker.name or socket.gethostname()


def local_of(joined: Joined, workload: Workload) -> Local | None:
    if joined.mode != "local":
        return None
    return Local(steps=LocalSteps.of(workload, joined.training), seconds=joined.training["local_seconds"])


def one_line(failure: Exception) -> str:
    return " ".join(str(failure).split())[:1000] or type(failure).__name__


def run_is_over(state: str, *, heard: Sequence[BarnraiseError | None]) -> bool:
    """A claim or a delivery may hear of the end before the heartbeat, which knows the run's state, does."""
    return state not in (RunState.RUNNING, RunState.PAUSED) or any(isinstance(one, RunNotOpen) for one in heard)
