"""The same run in one process and without a database: the same units, codecs, rule and steps, one after another."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

from contract.compressors import Codec, open_blob, range_reader
from contract.compressors.feedback import Feedback
from contract.deltas import DeltaForm
from contract.errors import BarnraiseError, BudgetSpent
from contract.ids import GradientId, Version
from contract.sources.base import Batch, Dataset
from contract.workloads.base import GradientResult, Hyperparameters, LocalSteps, OpenModel, Workload
from contract.workloads.units import Unit
from coordinator.account import Account
from coordinator.admission import Admitted, Refused, admit
from coordinator.aggregators import AGGREGATORS
from coordinator.cutting import Cutting
from coordinator.losses import mean_losses
from coordinator.mathematics import Mathematics
from coordinator.optimizers import OPTIMIZERS, Optimizer
from coordinator.privacy import Privacy
from coordinator.recipe import Recipe
from coordinator.step import TrainingState, advance
from coordinator.vectors import Vectors


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Schooling:
    """What of a run's settings decides its weights."""

    mode: str = "sync"
    seed: int = 0
    batch_size: int = 32
    batches_per_unit: int = 10
    units_per_update: int = 3
    # None goes on for as long as it is asked to.
    num_epochs: int | None = None
    gradient_clip_norm: float | None = None
    privacy: Privacy | None = None
    hyperparameters: Hyperparameters
    recipe: Recipe = dataclasses.field(default_factory=lambda: Recipe(rule=AGGREGATORS.build("mean")))
    optimizer: Optimizer = dataclasses.field(default_factory=lambda: OPTIMIZERS.build("adam"))
    codec: Codec
    deltas: DeltaForm | None = None
    feedback_decay: float = 1.0
    feedback_max_age: int = 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What an update was made of: losses weighted by samples, and the verdicts of gradients that were not used."""

    step: int
    losses: dict[str, float]
    num_samples: int
    refused: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contributed:
    """A unit as it arrives: the blob, and of the result what is not in it."""

    number: int
    unit: Unit
    result: GradientResult
    blob: bytes
    # Of the worker that sent it, who will hear what became of it.
    feedback: Feedback


class LocalRun:
    """Steps from version to version. `model` always holds the head's weights, for evaluation and samples."""

    def __init__(self, workload: Workload, dataset: Dataset, schooling: Schooling, *, device: str = "cpu") -> None:
        self._dataset = dataset
        self._schooling = schooling
        self._cutting = Cutting(
            run_seed=schooling.seed,
            num_samples=dataset.num_samples,
            unit_samples=schooling.batch_size * schooling.batches_per_unit,
        )
        self._num_units = self._cutting.units_per_epoch * (schooling.num_epochs or 0)
        self._how = Mathematics(
            vectors=Vectors.of(workload),
            hyperparameters=schooling.hyperparameters,
            recipe=schooling.recipe,
            optimizer=schooling.optimizer,
            deltas=schooling.deltas,
            privacy=schooling.privacy,
        )
        self.account = (
            None
            if schooling.privacy is None
            else Account(schooling.privacy, run_seed=schooling.seed, num_samples=dataset.num_samples)
        )
        self._local_steps = (
            LocalSteps(
                batch_size=schooling.batch_size,
                steps_per_unit=schooling.batches_per_unit,
                groups=workload.groups(),
                hyperparameters=schooling.hyperparameters,
            )
            if schooling.mode == "local"
            else None
        )
        self._buffers = workload.buffers()
        # Of the one worker that does it all.
        self._feedback = self.blank_feedback()
        self.state = TrainingState.start(workload.initial(schooling.seed), self._how)
        self.model: OpenModel = workload.open_model(device)
        self.model.load(self.state.weights)

    @property
    def num_updates(self) -> int:
        """Of all epochs; 0 of a run without an end. What is left at the end and too little for the rule is not used."""
        whole, left = divmod(self._num_units, self._schooling.units_per_update)
        return whole + (self._schooling.recipe.most_up_to(left) is not None)

    def updates(self, num_updates: int, on_unit: Callable[[Unit], None] | None = None) -> Iterator[Update]:
        for _ in range(num_updates):
            yield self.update(on_unit)

    def update(self, on_unit: Callable[[Unit], None] | None = None) -> Update:
        schooling = self._schooling
        first = self.state.step * schooling.units_per_update
        beyond = first + schooling.units_per_update
        numbers = range(first, beyond if schooling.num_epochs is None else min(beyond, self._num_units))
        usable = numbers[: schooling.recipe.most_up_to(len(numbers))]
        return self.merge([self.contribution(number, self._feedback, on_unit) for number in usable])

    def blank_feedback(self) -> Feedback:
        """Of a worker that has sent nothing yet."""
        return Feedback(
            manifest=self._how.vectors.manifest,
            buffers=self._buffers,
            decay=self._schooling.feedback_decay,
            max_age=self._schooling.feedback_max_age,
        )

    def contribution(
        self, number: int, feedback: Feedback, on_unit: Callable[[Unit], None] | None = None
    ) -> Contributed:
        """What a worker that holds the head's weights makes of the run's n-th unit."""
        schooling = self._schooling
        unit = self._cutting.unit(number)
        if on_unit is not None:
            on_unit(unit)
        samples = unit.samples(self._dataset, run_seed=schooling.seed)
        result = self._computed(unit, samples)
        return Contributed(
            number=number,
            unit=unit,
            # The blob has the numbers now.
            result=dataclasses.replace(result, tensors={}),
            blob=feedback.encoded(
                schooling.codec,
                result.tensors,
                seed=unit.seed,
                version=Version(self.state.step),
                sent_as=number,
            ),
            feedback=feedback,
        )

    def merge(self, contributed: Sequence[Contributed], freshness: Mapping[int, float] | None = None) -> Update:
        """The next version of these; `freshness` is by number what staleness leaves of a weight, if not all of it."""
        verdicts = [self._judged(one, (freshness or {}).get(one.number, 1.0)) for one in contributed]
        admitted = [verdict for verdict in verdicts if isinstance(verdict, Admitted)]
        if (problem := self._how.recipe.problem(len(admitted))) is not None:
            reasons = "; ".join(sorted({verdict.verdict for verdict in verdicts if isinstance(verdict, Refused)}))
            lost = f"{problem}; refused were: {reasons}" if admitted else f"every gradient was refused: {reasons}"
            raise BarnraiseError(f"update {self.state.step}: {lost}")
        if self.account is not None:
            used = [one.unit for one in contributed]
            if refusal := self.account.refusal(used):
                raise BudgetSpent(refusal)
            self.account.spend(used)
        advance(self.state, admitted, self._how)
        self.model.load(self.state.weights)
        results = [one.result for one in contributed]
        num_samples = sum(result.num_samples for result in results)
        return Update(
            step=self.state.step,
            losses=mean_losses(results),
            num_samples=num_samples,
            refused=tuple(verdict.verdict for verdict in verdicts if isinstance(verdict, Refused)),
        )

    def _computed(self, unit: Unit, samples: Batch) -> GradientResult:
        batch_size = self._schooling.batch_size
        if self._local_steps is None:
            return self.model.gradient(samples, seed=unit.seed, batch_size=batch_size)
        return self.model.local_steps(
            samples, seed=unit.seed, batch_size=batch_size, steps=self._local_steps, num_steps=self.state.step
        )

    def _judged(self, contributed: Contributed, freshness: float) -> Admitted | Refused:
        blob, vectors = contributed.blob, self._how.vectors
        verdict = admit(
            gradient=GradientId(contributed.number),
            decoder=open_blob(
                self._schooling.codec, range_reader(blob), len(blob), vectors.manifest, whole=vectors.buffers
            ),
            vectors=vectors,
            num_samples=contributed.result.num_samples,
            unit_samples=contributed.unit.num_samples,
            decay=freshness,
            clip_norm=self._schooling.gradient_clip_norm,
            private_norm=None if self._schooling.privacy is None else self._schooling.privacy.clip_norm,
        )
        if isinstance(verdict, Admitted):
            contributed.feedback.settle(contributed.number)
        else:
            contributed.feedback.give_back(contributed.number)
        return verdict
