"""Asks versions for a picture or a text, beside the training and behind it, and keeps what they make.

The newest version counts: where this is slower than training, versions are left out.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import Final

import torch
from sqlalchemy import Engine

from contract.ids import Version
from contract.tensors import unpack
from contract.workloads.base import OpenModel
from coordinator.ledger import samples
from coordinator.living_run import LivingRun
from coordinator.samples import draws, sample_of, writes
from coordinator.weights import read_weights

# As many pictures as anybody looks at, some tens of kilobytes each.
_MOST_SAMPLES: Final = 200


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`version` is None when there was nothing to ask; `problem` says why a version made nothing."""

    version: Version | None = None
    problem: str | None = None


@dataclasses.dataclass(slots=True, kw_only=True)
class MakeSamples:
    """It begins while nothing more urgent is to be done (`resting`), and takes `largest_share` of one processor on an
    average: a volunteer may be computing on the same machine."""

    engine: Engine
    living: LivingRun
    every: int
    resting: threading.Event
    largest_share: float = 0.03
    _model: OpenModel | None = None
    _last: Version | None = None
    _knows_last: bool = False
    _not_before: float = 0.0

    def __post_init__(self) -> None:
        # As in `Evaluate`: whoever asked torch before keeps the number that they saw.
        torch.get_num_threads()

    def run_once(self) -> Report:
        head = self.living.head
        due = Version(head - head % self.every)
        if time.monotonic() < self._not_before or not self.resting.is_set() or not self._is_new(due):
            return Report()
        # Where many versions went by meanwhile, the one that was due is pruned.
        return self._sample(due) or self._sample(head) or Report()

    def finish(self) -> Report:
        """The last version is asked whatever its number."""
        head = self.living.head
        return (self._sample(head) if self._is_new(head) else None) or Report()

    def _is_new(self, version: Version) -> bool:
        if self._model is None:
            self._model = self.living.workload.open_model()
        if not draws(self._model) and not writes(self._model):
            return False
        if not self._knows_last:
            with self.engine.begin() as conn:
                self._last = samples.last_with_sample(conn, run=self.living.run)
            self._knows_last = True
        return self._last is None or version > self._last

    def _sample(self, version: Version) -> Report | None:
        """None where the weights of this version are gone."""
        busy = time.thread_time()
        torch.set_num_threads(1)
        with self.engine.begin() as conn:
            blob = read_weights(conn, run=self.living.run, version=version, how=self.living.how)
        if blob is None:
            return None
        assert self._model is not None
        self._last = version
        try:
            self._model.load(unpack(blob, self.living.how.vectors.manifest, max_bytes=len(blob)))
            made = sample_of(self._model)
        except (RuntimeError, ArithmeticError, MemoryError) as error:
            # A model that has lost its mind: the training goes on.
            words = str(error).splitlines()[:1] or [type(error).__name__]
            return Report(problem=f"version {version} made nothing to look at: {words[0]}")
        assert made is not None
        with self.engine.begin() as conn:
            samples.add_sample(
                conn, run=self.living.run, version=version, media_type=made.media_type, content=made.content
            )
            samples.thin_samples(conn, run=self.living.run, most=_MOST_SAMPLES)
        self._not_before = time.monotonic() + (time.thread_time() - busy) * (1 / self.largest_share - 1)
        return Report(version=version)
