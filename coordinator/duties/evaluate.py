"""Measures versions on data that nobody learns from, beside the training and behind it.

The newest version counts: where measuring is slower than training, versions are left out.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

import torch
from sqlalchemy import Engine

from contract.errors import ConfigError, DataError
from contract.ids import Version
from contract.sources.base import Dataset
from contract.tensors import unpack
from coordinator.ledger import versions
from coordinator.living_run import LivingRun
from coordinator.weights import read_weights

PREFIX: Final = "held_out/"
_LOOK_EVERY_SECONDS: Final = 0.2


class _StoppedError(Exception):
    """Somebody wants this process to end; it travels up through the measurement under way."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`version` is None when there was nothing to measure; `problem` says why a version has no metrics."""

    version: Version | None = None
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    problem: str | None = None


@dataclasses.dataclass(slots=True, kw_only=True)
class Evaluate:
    """`resting` is set while the coordinator has nothing more urgent to do, and measuring goes on only then.

    Of one processor it takes `largest_share` on an average: a volunteer may be computing on the same machine.
    """

    engine: Engine
    living: LivingRun
    open_held_out: Callable[[], Dataset]
    every: int
    num_samples: int
    resting: threading.Event
    stop: threading.Event
    largest_share: float = 0.05
    _dataset: Dataset | None = None
    _has_no_data: bool = False
    _last: Version | None = None
    _knows_last: bool = False
    _not_before: float = 0.0

    def __post_init__(self) -> None:
        # The thread that measures will ask torch for one thread. Whoever has looked before keeps the number they saw.
        torch.get_num_threads()

    def run_once(self) -> Report:
        head = self.living.head
        due = Version(head - head % self.every)
        if time.monotonic() < self._not_before or not self._is_new(due):
            return Report()
        torch.set_num_threads(1)
        # Where many versions went by meanwhile, the one that was due is pruned.
        return self._measure(due) or self._measure(head) or Report()

    def finish(self) -> Report:
        """The last version is measured whatever its number."""
        head = self.living.head
        return (self._measure(head) if self._is_new(head) else None) or Report()

    def _is_new(self, version: Version) -> bool:
        if self._has_no_data:
            return False
        if not self._knows_last:
            with self.engine.begin() as conn:
                self._last = versions.last_with_metrics(conn, run=self.living.run, prefix=PREFIX)
            self._knows_last = True
        return self._last is None or version > self._last

    def _measure(self, version: Version) -> Report | None:
        """None where the weights of this version are gone."""
        began, busy = time.monotonic(), time.thread_time()
        try:
            dataset = self._dataset = self._dataset or self.open_held_out()
        except (DataError, ConfigError, OSError) as error:
            self._has_no_data = True
            return Report(problem=f"nothing is measured on held-out data: {error}")
        blob = self._weights(version)
        if blob is None:
            return None
        try:
            found = self._found(blob, dataset)
        except _StoppedError:
            return Report()
        except (DataError, RuntimeError, ArithmeticError, OSError, MemoryError) as error:
            # A model that has lost its mind, a picture that cannot be read: the training goes on.
            self._last = version
            words = str(error).splitlines()[:1] or [type(error).__name__]
            return Report(problem=f"version {version} could not be measured on held-out data: {words[0]}")
        metrics = {PREFIX + name: value for name, value in found.items()}
        with self.engine.begin() as conn:
            versions.record_metrics(conn, run=self.living.run, version=version, metrics=metrics)
        self._last = version
        self._not_before = time.monotonic() + (time.thread_time() - busy) * (1 / self.largest_share - 1)
        return Report(version=version, metrics=metrics, seconds=time.monotonic() - began)

    def _found(self, blob: bytearray, dataset: Dataset) -> dict[str, float]:
        model = self.living.workload.open_model()
        model.load(unpack(blob, self.living.how.vectors.manifest, max_bytes=len(blob)))
        # The model has a copy, and measuring may take a while.
        blob.clear()
        return model.evaluate(dataset, max_samples=self.num_samples, watch=self._give_way)

    def _weights(self, version: Version) -> bytearray | None:
        with self.engine.begin() as conn:
            return read_weights(conn, run=self.living.run, version=version, how=self.living.how)

    def _give_way(self, _num_done: int) -> None:
        while not self.stop.is_set():
            if self.resting.wait(_LOOK_EVERY_SECONDS):
                return
        raise _StoppedError
