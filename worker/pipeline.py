"""Claim and fetch ahead, upload behind: the device never waits for the network."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import queue
import threading
import time
from collections.abc import Callable, Sequence

from sqlalchemy import Connection, Engine

from contract.database import Notifications
from contract.errors import (
    AlreadySubmitted,
    BarnraiseError,
    DatabaseError,
    DataError,
    LeaseLost,
    LedgerRefusal,
    OverQuota,
    RunNotOpen,
)
from contract.ids import Version, WorkerId
from contract.sources.base import Batch
from contract.tensors import split
from contract.traces import Life, Traces
from contract.workloads.base import GradientResult
from contract.workloads.units import Unit
from worker import ledger
from worker.compute import Computer
from worker.feedback import Encoded, Sender
from worker.following import Follower
from worker.foresight import Foresight
from worker.heartbeat import Heartbeat, Holdings
from worker.ledger import Joined, Lease, Leg, Submission
from worker.retrying import StoppedError, until_it_works

Report = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    lease: Lease
    # None where the task before it had the same version, which is loaded.
    weights: bytearray | None
    # The updates that the version was made by.
    num_steps: int
    unit: Unit
    # None where they could not be had; whoever computes asks once more, and hears why.
    samples: Batch | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    lease: Lease
    gradient: GradientResult
    # That it took to compute.
    seconds: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the threads of one worker share."""

    engine: Engine
    joined: Joined
    holdings: Holdings
    heartbeat: Heartbeat
    stop: threading.Event
    report: Report
    traces: Traces = dataclasses.field(default_factory=Traces)

    def life(self, lease: Lease) -> Life:
        return self.traces.of(lease.unit, lease.attempt)


class Ahead:
    """Claims the next unit and fetches its version and samples while the one before is computed, shortly before it is
    done: what is claimed earlier is computed on an older version."""

    def __init__(
        self, here: Surroundings, computer: Computer, follower: Follower, *, poll_seconds: float, pooler: bool
    ) -> None:
        self._here = here
        self._computer = computer
        self._follower = follower
        self._poll_seconds = poll_seconds
        self._notifications = Notifications(here.engine, pooler=pooler)
        self._handed_over: Version | None = None
        self._num_steps = 0
        self._tasks: queue.Queue[Task | None] = queue.Queue()
        # In a round a unit claimed ahead is one that somebody else could be computing.
        self._wanted = threading.Semaphore(1 if here.joined.mode == "async" else 0)
        self._foresight = Foresight()
        self._handed_out_at: float | None = None
        self._hungry = threading.Event()
        self.ended_by: BarnraiseError | None = None
        self._thread = threading.Thread(target=self._run, name="ahead", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def next(self) -> Task | None:
        """The next task; None when the run is over, this worker was refused, or somebody wants to stop."""
        if self._handed_out_at is not None:
            self._foresight.computed(time.monotonic() - self._handed_out_at)
        self._wanted.release()
        task = self._await_task()
        self._handed_out_at = time.monotonic()
        return task

    def _await_task(self) -> Task | None:
        with contextlib.suppress(queue.Empty):
            return self._tasks.get_nowait()
        self._hungry.set()
        while not self._here.stop.is_set():
            with contextlib.suppress(queue.Empty):
                task = self._tasks.get(timeout=0.2)
                self._hungry.clear()
                return task
        return None

    def weights_returned(self) -> None:
        """Those of the task that was handed out last; the next version may take their place."""
        self._follower.returned()

    def join(self) -> None:
        self._notifications.close()
        self._hungry.set()
        self._wanted.release()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        try:
            while not self._here.stop.is_set():
                self._wanted.acquire()
                self._hungry.wait(self._foresight.pause())
                task = self._next_task()
                if task is not None:
                    self._tasks.put(task)
        except StoppedError:
            pass
        except BarnraiseError as error:
            self.ended_by = error
        self._tasks.put(None)

    def _next_task(self) -> Task | None:
        hungry_since = time.time_ns()
        while not self._here.stop.is_set():
            began, claimed_since = time.monotonic(), time.time_ns()
            lease = until_it_works(self._claim, stop=self._here.stop, report=self._here.report)
            if lease is None:
                if self._notifications.wait(self._poll_seconds):
                    self._here.heartbeat.beat_soon()
                continue
            self._here.holdings.add(lease)
            life = self._here.life(lease)
            life.took("wait", hungry_since, claimed_since)
            life.took("claim", claimed_since, version=lease.base_version)
            weights, is_new = None, lease.base_version != self._handed_over
            if is_new:
                weights = until_it_works(lambda: self._weights(lease), stop=self._here.stop, report=self._here.report)  # noqa: B023
            if (is_new and weights is None) or self._here.holdings.why_dropped(lease) is not None:
                self._here.holdings.remove(lease)
                self._follower.returned()
                life.ended("dropped")
                hungry_since = time.time_ns()
                continue
            self._handed_over = lease.base_version
            unit = Unit(
                epoch=lease.epoch, first_sample=lease.first_sample, num_samples=lease.num_samples, seed=lease.seed
            )
            with life.step("samples"):
                samples = self._samples(unit)
            task = Task(lease=lease, weights=weights, num_steps=self._num_steps, unit=unit, samples=samples)
            self._foresight.claimed(time.monotonic() - began)
            return task
        return None

    def _samples(self, unit: Unit) -> Batch | None:
        try:
            return self._computer.samples(unit)
        except (DataError, OSError, MemoryError, RuntimeError):
            return None

    def _claim(self) -> Lease | None:
        try:
            with self._here.engine.begin() as conn:
                return ledger.claim(conn, worker=self._here.joined.worker)
        except OverQuota:
            return None

    def _weights(self, lease: Lease) -> bytearray | None:
        # Each part in a transaction of its own: a slow line has as long for each as others have for all.
        engine = self._here.engine.execution_options(isolation_level="AUTOCOMMIT")
        with self._here.life(lease).step("fetch"), engine.connect() as conn:
            library = _Library(conn, self._here.joined.worker, self._num_steps)
            weights = self._follower.weights(lease.base_version, library)
        self._num_steps = library.num_steps
        return weights


@dataclasses.dataclass(slots=True)
class _Library:
    """`num_steps` are the updates that made the version which was last asked for."""

    conn: Connection
    worker: WorkerId
    num_steps: int

    def way(self, version: Version, *, have: Version | None) -> Sequence[Leg]:
        legs = ledger.fetch_manifest(self.conn, worker=self.worker, version=version, have=have)
        if legs:
            self.num_steps = legs[-1].optimizer_step
        return legs

    def part(self, leg: Leg, number: int) -> bytes | None:
        return ledger.fetch_part(self.conn, worker=self.worker, version=leg.version, part=number, kind=leg.kind)


class Behind:
    """Compresses and uploads a result while the next unit is computed. Finished work is kept until it is delivered or
    its lease is lost."""

    def __init__(self, here: Surroundings, sender: Sender, delivered: Callable[[Result, Encoded], None]) -> None:
        self._here = here
        self._sender = sender
        self._delivered = delivered
        self._results: queue.Queue[Result | None] = queue.Queue(maxsize=1)
        self.ended_by: BarnraiseError | None = None
        self._thread = threading.Thread(target=self._run, name="behind", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def deliver(self, result: Result) -> None:
        self._put(result)

    def finish(self) -> None:
        """Waits for what is on its way."""
        self._put(None)
        self._thread.join(timeout=60)

    def _put(self, result: Result | None) -> None:
        # The thread may have ended with a result before this one still in the queue.
        while self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._results.put(result, timeout=0.2)
                return

    def _run(self) -> None:
        while (result := self._results.get()) is not None:
            try:
                self._send(result)
            except StoppedError:
                return
            except (LedgerRefusal, DatabaseError) as refusal:
                self.ended_by = refusal
                self._here.stop.set()
                return

    def _send(self, result: Result) -> None:
        uplink, life = self._sender.uplink, self._here.life(result.lease)
        uplink.computed(result.seconds)
        with life.step("encode") as about:
            encoded = self._sender.encoded(result.gradient, result.lease)
            about |= {"codec": encoded.codec, "num_bytes": len(encoded.blob)}
        parts = [content for _, content in split(encoded.blob, self._here.joined.max_part_bytes)]
        submission = Submission(
            codec=encoded.codec,
            num_samples=result.gradient.num_samples,
            num_parts=len(parts),
            num_bytes=len(encoded.blob),
            sha256=hashlib.sha256(encoded.blob).digest(),
            losses=result.gradient.losses,
        )

        # One part a transaction: a broken connection loses a part, not the whole gradient. And none begins before its
        # bytes are there: on a slow line the server would end it as idle.
        uploads = self._here.engine.execution_options(isolation_level="AUTOCOMMIT")

        def upload() -> float:
            if uplink.has_a_choice and uplink.round_trip is None:
                uplink.round_trip = _round_trip(uploads)
            began = time.monotonic()
            with life.step("upload") if parts[1:] else contextlib.nullcontext():
                for number, part in enumerate(parts[:-1]):
                    with uploads.connect() as conn:
                        ledger.upload_part(conn, lease=result.lease, part=number, content=part)
            with life.step("submit"), uploads.connect() as conn:
                ledger.submit(conn, lease=result.lease, submission=submission, last_part=parts[-1])
            return time.monotonic() - began

        try:
            seconds = until_it_works(upload, stop=self._here.stop, report=self._here.report)
        except AlreadySubmitted:
            # The answer to the first try was lost on its way.
            pass
        except (LeaseLost, RunNotOpen) as lost:
            self._sender.undelivered(result.lease)
            self._here.report(f"unit {result.lease.unit} was not needed any more: {lost}")
            self._here.holdings.remove(result.lease)
            life.ended("not needed any more")
            return
        else:
            uplink.uploaded(len(encoded.blob), seconds, num_calls=len(parts))
        self._sender.delivered()
        self._here.holdings.remove(result.lease)
        life.ended("delivered")
        self._delivered(result, encoded)


def _round_trip(engine: Engine) -> float:
    """The shortest of a few: one may wait for a connection."""
    found = []
    for _ in range(3):
        began = time.monotonic()
        with engine.connect() as conn:
            ledger.call(conn)
        found.append(time.monotonic() - began)
    return min(found)
