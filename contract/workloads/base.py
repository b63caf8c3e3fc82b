"""What a workload is: a model, its loss, its metrics, and how its parameters are stepped.

A workload promises that a unit is a pure function of (weights, samples, seed, options). The conformance suite
`tests/unit/test_every_workload.py` holds every workload to it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, Protocol, TypedDict

from torch import Tensor

from contract.sources.base import Batch, Dataset, Kind
from contract.tensors import Manifest

# Called before each batch with the number of samples done; what it raises ends the unit.
Watch = Callable[[int], None]


# Of a unit's local steps.
_WARM_UP_SHARE: Final = 0.1


class View(TypedDict, total=False):
    """How a workload wants its data: keywords for `Source.open`."""

    image_size: int
    channels: int
    context: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameters:
    """What the optimizers are told. The learning rates are named for a GAN's two halves; others use the first."""

    learning_rate_g: float = 0.0002
    learning_rate_d: float = 0.0002
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def rate(self, group: Group, num_steps: int) -> float:
        """Of the step that follows `num_steps` steps."""
        rate: float = getattr(self, group.learning_rate)
        return rate * group.schedule.share(num_steps)

    def with_settings(self, settings: Mapping[str, Any]) -> Hyperparameters:
        """Overridden by what of `settings` is set and concerns the optimizers; the rest is none of our business."""
        names = {field.name for field in dataclasses.fields(self)}
        given = {name: float(value) for name, value in settings.items() if name in names and value is not None}
        return dataclasses.replace(self, **given)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The share of the learning rate at an optimizer step: a warm-up, then half a cosine down to `floor`, then `floor`.

    Without `decay_steps` the rate stays at its full height after the warm-up.
    """

    warmup_steps: int = 0
    decay_steps: int = 0
    floor: float = 0.0

    @classmethod
    def of_options(cls, *, warmup_updates: int, decay_updates: int, last_rate_share: float) -> Schedule:
        """Under the names that workloads give them; ValueError for what makes no schedule."""
        if min(warmup_updates, decay_updates) < 0:
            raise ValueError("warmup_updates and decay_updates are not negative")
        if not 0.0 <= last_rate_share <= 1.0:
            raise ValueError(f"last_rate_share is from 0 to 1, not {last_rate_share:g}")
        return cls(warmup_steps=warmup_updates, decay_steps=decay_updates, floor=last_rate_share)

    def share(self, step: int) -> float:
        """At the step that follows `step` steps."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if self.decay_steps == 0:
            return 1.0
        progress = min(1.0, (step - self.warmup_steps) / self.decay_steps)
        return self.floor + (1.0 - self.floor) * 0.5 * (1.0 + math.cos(math.pi * progress))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Parameters that one optimizer steps, and that make one vector for the aggregation rules."""

    name: str
    parameters: tuple[str, ...]
    learning_rate: Literal["learning_rate_g", "learning_rate_d"] = "learning_rate_g"
    # Decoupled from the gradient (AdamW); norms, biases and embeddings are spared.
    weight_decay: float = 0.0
    spared: frozenset[str] = frozenset()
    schedule: Schedule = Schedule()

    def decay_of(self, name: str) -> float:
        return 0.0 if name in self.spared else self.weight_decay


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GradientResult:
    """What a unit comes to. The tensors are those of the model's manifest, in its order: of each parameter the
    gradient, or what local steps took from it; and of each buffer the value it has after the unit."""

    tensors: dict[str, Tensor]
    losses: dict[str, float]
    num_samples: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LocalSteps:
    """How a unit of local steps is computed: AdamW from a fresh state, one step for each batch.

    The learning rate follows the workload's schedule, counted in these steps: the run's updates so far, times those of
    a unit, and so many more. A fresh state steps by the sign of the gradient alone, so the first steps are shorter.
    """

    batch_size: int
    steps_per_unit: int
    groups: tuple[Group, ...]
    hyperparameters: Hyperparameters

    @classmethod
    def of(cls, workload: Workload, training: Mapping[str, Any]) -> LocalSteps:
        return cls(
            batch_size=training["batch_size"],
            steps_per_unit=training["batches_per_work_unit"],
            groups=workload.groups(),
            hyperparameters=workload.hyperparameters.with_settings(training["hyperparameters"]),
        )

    def rate(self, group: Group, *, num_steps: int, number: int) -> float:
        """Of the unit's step of this number, from 0, where the run has made `num_steps` updates."""
        warm_up = min(1.0, (number + 1) / (_WARM_UP_SHARE * self.steps_per_unit))
        return warm_up * self.hyperparameters.rate(group, num_steps * self.steps_per_unit + number)


class OpenModel(Protocol):
    """A model in memory, once: weights are overwritten in place."""

    def load(self, tensors: Mapping[str, Tensor]) -> None: ...

    def gradient(self, samples: Batch, *, seed: int, batch_size: int, watch: Watch | None = None) -> GradientResult: ...

    def local_steps(
        self,
        samples: Batch,
        *,
        seed: int,
        batch_size: int,
        steps: LocalSteps,
        num_steps: int,
        watch: Watch | None = None,
        is_enough: Callable[[], bool] | None = None,
    ) -> GradientResult:
        """What the weights lose in a step for each of the unit's batches; the model has its own weights again after.

        `batch_size` cuts the batch of a step as it cuts that of a gradient. `is_enough` is asked before each step but
        the first, and ends the unit early: what it comes to is then that of the samples it got to.
        """
        ...

    def evaluate(
        self, dataset: Dataset, *, max_samples: int = 1024, seed: int = 0, watch: Watch | None = None
    ) -> dict[str, float]:
        """Held-out metrics by name, of at most `max_samples` samples, evenly spread."""
        ...


class Workload(Protocol):
    name: ClassVar[str]
    # Raised whenever the same options come to mean other numbers; workers of another version are refused.
    version: ClassVar[int]
    kind: ClassVar[Kind]
    # Whether a batch's samples act on one another (BatchNorm). Then the batch belongs to the unit's definition, and a
    # worker may not cut it smaller: docs/decisions/0010.
    batch_matters: ClassVar[bool]

    @property
    def hyperparameters(self) -> Hyperparameters:
        """What this workload is trained with unless the run says otherwise."""
        ...

    @property
    def view(self) -> View: ...

    def misfit(self, dataset: Dataset) -> str | None:
        """Why this dataset cannot feed the workload, or None."""
        ...

    def manifest(self) -> Manifest:
        """Parameters group by group, then buffers; weights and gradients alike."""
        ...

    def groups(self) -> tuple[Group, ...]: ...

    def buffers(self) -> tuple[str, ...]: ...

    def variances(self) -> tuple[str, ...]:
        """Those of the buffers that are never negative; below zero their square root is no number."""
        ...

    def initial(self, seed: int) -> dict[str, Tensor]: ...

    def open_model(self, device: str = "cpu") -> OpenModel: ...


class GenerativeModel(OpenModel, Protocol):
    def samples(self, num_samples: int, *, seed: int = 0) -> Tensor:
        """Images in [-1, 1] of shape [n, c, h, w], drawn in eval mode: what the finished model will draw."""
        ...


class PredictiveModel(OpenModel, Protocol):
    def next_scores(self, tokens: Sequence[int]) -> Tensor:
        """How much each token of the vocabulary is expected to follow on `tokens`, of which there is at least one; as
        logarithms, up to a constant."""
        ...
