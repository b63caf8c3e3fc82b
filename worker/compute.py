"""Weights and a unit -> gradients. No database: what is computed here could be computed again by anybody."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from contract.sources.base import Batch, Dataset
from contract.workloads.base import GradientResult, LocalSteps, OpenModel, Watch, Workload
from contract.workloads.units import Unit


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """Units are local steps, and end with the step after which so many seconds have passed."""

    steps: LocalSteps
    seconds: float


class Computer:
    """A model in memory, and how much of a unit this machine takes at a time.

    `batch_size` is the run's. Where samples of a batch act on one another it is part of the answer; elsewhere it is
    only where a machine starts, `own_batch_size` replaces it, and memory that does not suffice halves it for good;
    `on_smaller` hears of it.
    """

    def __init__(
        self,
        workload: Workload,
        dataset: Dataset,
        *,
        run_seed: int,
        batch_size: int,
        own_batch_size: int | None = None,
        device: str = "cpu",
        on_smaller: Callable[[int], None] | None = None,
        local: Local | None = None,
    ) -> None:
        self._dataset = dataset
        self._run_seed = run_seed
        self._on_smaller = on_smaller
        self._local = local
        self._may_cut = not workload.batch_matters
        self.batch_size = own_batch_size if own_batch_size is not None and self._may_cut else batch_size
        self.model: OpenModel = workload.open_model(device)

    def load(self, weights: Mapping[str, Tensor]) -> None:
        self.model.load(weights)

    def samples(self, unit: Unit) -> Batch:
        """Apart from `gradient`, so that another thread can have them ready."""
        return unit.samples(self._dataset, run_seed=self._run_seed)

    def gradient(
        self, unit: Unit, samples: Batch | None = None, *, num_steps: int = 0, watch: Watch | None = None
    ) -> GradientResult:
        """What the unit comes to, of a version that was made by `num_steps` updates. `watch` hears before each batch
        how many samples are done; what it raises drops the unit."""
        samples = self.samples(unit) if samples is None else samples
        while True:
            try:
                return self._result(unit, samples, num_steps, watch)
            except torch.OutOfMemoryError:
                if not self._may_cut or self.batch_size == 1:
                    raise
            # Outside the handler: the error's traceback held on to the memory that is needed now.
            self.batch_size = (self.batch_size + 1) // 2
            if self._on_smaller is not None:
                self._on_smaller(self.batch_size)

    def _result(self, unit: Unit, samples: Batch, num_steps: int, watch: Watch | None) -> GradientResult:
        if self._local is None:
            return self.model.gradient(samples, seed=unit.seed, batch_size=self.batch_size, watch=watch)
        ends_at = time.monotonic() + self._local.seconds
        return self.model.local_steps(
            samples,
            seed=unit.seed,
            batch_size=self.batch_size,
            steps=self._local.steps,
            num_steps=num_steps,
            watch=watch,
            is_enough=lambda: time.monotonic() >= ends_at,
        )
