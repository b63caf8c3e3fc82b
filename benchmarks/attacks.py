"""Which rule withstands which attack? mlp on glyphs, trained to the end with 11 gradients an update, 2 of them hostile.

    python -m benchmarks.attacks [--rules robust median nnm+krum] [--attacks mimic] [--seeds 3] [--results FILE]

Everything of a run but its ledger: the same units, codec, admission, rule and optimizer. The colluders know every
honest gradient of the round. An upload that the admission refuses is computed again by somebody honest, as in a run. A
rule passes where held-out accuracy, the mean over the seeds, is within 3 points of the plain mean's without an attack.
With --results each training is added to a file and not done twice, so that a long table can be made in parts.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from benchmarks.table import print_table
from contract.compressors import CODECS, encoded, open_blob, range_reader
from contract.compressors.feedback import Feedback
from contract.config import Config
from contract.ids import GradientId, Version
from contract.sources import SOURCES, Batch, Split
from contract.workloads import WORKLOADS
from contract.workloads.base import Workload
from contract.workloads.units import Unit
from coordinator.admission import Admitted, Refused, admit
from coordinator.aggregators import AGGREGATORS
from coordinator.cutting import Cutting
from coordinator.mathematics import Mathematics
from coordinator.new_run import run_of
from coordinator.step import TrainingState, advance
from tests.attacks import ATTACKS, Attack, Seen, Tensors

NUM_GRADIENTS: Final = 11
NUM_BYZANTINE: Final = 2
# Gradients of fewer samples differ so much that an old one lies among them.
BATCH_SIZE: Final = 64
# A power of four, whose order is quickly drawn.
NUM_SAMPLES: Final = 1 << 16
NUM_JUDGED: Final = 2000
WITHIN: Final = 0.03
NO_ATTACK: Final = "no attack"
# Beside each attack at its defaults, those that are something else at another strength.
STRENGTHS: Final[Mapping[str, tuple[str, Mapping[str, object]]]] = {
    "inner_product 0.5": ("inner_product", {"epsilon": 0.5}),
    "little_is_enough 1.5": ("little_is_enough", {"z": 1.5}),
    "scaled 1e30": ("scaled", {"factor": 1e30}),
    "sign_flip x10": ("sign_flip", {"scale": 10.0}),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InMemory:
    """Drawn once for all trainings."""

    whole: Batch
    num_classes: int
    fingerprint: str = ""
    description: str = "glyphs, in memory"
    vocabulary_size: None = None

    @property
    def num_samples(self) -> int:
        assert self.whole.images is not None
        return len(self.whole.images)

    def batch(self, indices: Sequence[int]) -> Batch:
        assert self.whole.images is not None and self.whole.labels is not None
        chosen = torch.as_tensor(indices)
        return Batch(images=self.whole.images[chosen], labels=self.whole.labels[chosen])


@functools.cache
def glyphs(split: Split, num_samples: int) -> InMemory:
    source = SOURCES.build("glyphs").open(path=None, split=split, num_samples=num_samples, **workload().view)
    assert source.num_classes is not None
    return InMemory(whole=source.batch(range(num_samples)), num_classes=source.num_classes)


@functools.cache
def workload() -> Workload:
    return WORKLOADS.build("mlp")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """`rule` is the rule's name, with those of the pre-aggregators before it: nnm+krum."""

    rule: str
    attack: str
    seed: int
    codec: str = "none"
    epochs: int = 1
    learning_rate: float = 0.003

    def config(self) -> Config:
        *before, rule = self.rule.split("+")
        return Config.model_validate(
            {
                "run": {"seed": self.seed},
                "model": {"name": "mlp"},
                "training": {
                    "batch_size": BATCH_SIZE, "batches_per_work_unit": 1, "num_workunits_per_update": NUM_GRADIENTS,
                    "num_epochs": self.epochs, "learning_rate_g": self.learning_rate,
                },
                "aggregation": {
                    "rule": rule, "before": before, "num_byzantine": 0 if self.rule == "mean" else NUM_BYZANTINE,
                },
                "compression": {"codec": self.codec},
            }
        )  # fmt: skip


class Training:
    """A run of honest volunteers and two colluders, in one process."""

    def __init__(self, trial: Trial) -> None:
        config, dataset = trial.config(), glyphs("train", NUM_SAMPLES)
        new = run_of(config, workload(), dataset)
        self._seed, self._dataset = new.seed, dataset
        self._codec = CODECS.build(new.training["codec"], new.training["codec_options"])
        self._attack: Attack | None = None
        if trial.attack != NO_ATTACK:
            name, options = STRENGTHS.get(trial.attack, (trial.attack, {}))
            self._attack = ATTACKS.build(name, options)
        self._how = Mathematics.of(workload(), new.training, seed=new.seed)
        self._cutting = Cutting(run_seed=new.seed, num_samples=dataset.num_samples, unit_samples=BATCH_SIZE)
        self._feedback = [
            Feedback(
                manifest=self._how.vectors.manifest, buffers=workload().buffers(),
                decay=new.training["feedback_decay"], max_age=new.training["feedback_max_age"],
            )
            for _ in range(NUM_GRADIENTS)
        ]  # fmt: skip
        self._first: dict[int, Tensors] = {}
        self.state = TrainingState.start(workload().initial(new.seed), self._how)
        self.model = workload().open_model()

    def update(self) -> None:
        self.model.load(self.state.weights)
        first = self.state.step * NUM_GRADIENTS
        units = [self._cutting.unit(number) for number in range(first, first + NUM_GRADIENTS)]
        num_honest = NUM_GRADIENTS if self._attack is None else NUM_GRADIENTS - NUM_BYZANTINE
        honest = [self._gradient(unit) for unit in units[:num_honest]]
        admitted = [self._sent(place, units[place], gradient) for place, gradient in enumerate(honest)]
        admitted += [self._attacked(place, units[place], honest) for place in range(num_honest, NUM_GRADIENTS)]
        advance(self.state, admitted, self._how)

    def accuracy(self) -> float:
        self.model.load(self.state.weights)
        held_out = glyphs("held_out", NUM_JUDGED)
        return self.model.evaluate(held_out, max_samples=NUM_JUDGED)["accuracy"]

    def _attacked(self, place: int, unit: Unit, honest: Sequence[Tensors]) -> Admitted:
        assert self._attack is not None
        own = self._gradient(unit, self._attack)
        seen = Seen(
            own=own, honest=honest, first=self._first.setdefault(place, own), num_gradients=NUM_GRADIENTS,
            num_byzantine=NUM_BYZANTINE, seed=unit.seed,
        )  # fmt: skip
        verdict = self._judged(unit, encoded(self._codec, self._attack.forge(seen), seed=unit.seed))
        return verdict if isinstance(verdict, Admitted) else self._sent(place, unit, self._gradient(unit))

    def _sent(self, place: int, unit: Unit, gradient: Tensors) -> Admitted:
        feedback, step = self._feedback[place], self.state.step
        blob = feedback.encoded(self._codec, gradient, seed=unit.seed, version=Version(step), sent_as=step)
        feedback.settle(step)
        verdict = self._judged(unit, blob)
        assert isinstance(verdict, Admitted), "an honest gradient was refused"
        return verdict

    def _judged(self, unit: Unit, blob: bytes) -> Admitted | Refused:
        return admit(
            gradient=GradientId(unit.first_sample),
            decoder=open_blob(self._codec, range_reader(blob), len(blob), self._how.vectors.manifest),
            vectors=self._how.vectors, num_samples=unit.num_samples, unit_samples=unit.num_samples,
        )  # fmt: skip

    def _gradient(self, unit: Unit, attack: Attack | None = None) -> dict[str, Tensor]:
        samples = unit.samples(self._dataset, run_seed=self._seed)
        if attack is not None:
            samples = attack.samples(samples, num_classes=self._dataset.num_classes)
        return self.model.gradient(samples, seed=unit.seed, batch_size=BATCH_SIZE).tensors


def num_updates(epochs: int) -> int:
    return epochs * NUM_SAMPLES // (NUM_GRADIENTS * BATCH_SIZE)


def accuracy_of(trial: Trial) -> float:
    training = Training(trial)
    for _ in range(num_updates(trial.epochs)):
        training.update()
    return training.accuracy()


class Results:
    """Of all trials so far; each is written down as soon as it is known."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._known: dict[Trial, float] = {}
        if file is not None and file.exists():
            for line in file.read_text("utf-8").splitlines():
                entry = json.loads(line)
                self._known[Trial(**entry["trial"])] = entry["accuracy"]

    def accuracy(self, trial: Trial) -> float:
        if trial not in self._known:
            self._known[trial] = accuracy_of(trial)
            if self._file is not None:
                entry = {"trial": dataclasses.asdict(trial), "accuracy": self._known[trial]}
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(entry) + "\n")
        return self._known[trial]


def every_rule() -> list[str]:
    return ["robust", *(name for rule in AGGREGATORS.names for name in (rule, f"nnm+{rule}"))]


def every_attack() -> list[str]:
    return [*ATTACKS.names, *STRENGTHS]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.attacks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rules", nargs="+", default=every_rule())
    parser.add_argument("--attacks", nargs="+", default=every_attack())
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--codec", default="none")
    parser.add_argument("--epochs", type=int, default=1, help="a sparse codec needs more of them,")
    parser.add_argument("--learning-rate", type=float, default=0.003, help="and shorter steps")
    parser.add_argument("--results", type=Path)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    results, began = Results(given.results), time.monotonic()
    asked = Trial(rule="", attack="", seed=0, codec=given.codec, epochs=given.epochs, learning_rate=given.learning_rate)

    def mean_of(rule: str, attack: str) -> float:
        trials = (dataclasses.replace(asked, rule=rule, attack=attack, seed=seed) for seed in range(given.seeds))
        return statistics.fmean(results.accuracy(trial) for trial in trials)

    at_best = mean_of("mean", NO_ATTACK)
    lines = []
    for rule in given.rules:
        found = [mean_of(rule, attack) for attack in (NO_ATTACK, *given.attacks)]
        num_passed = sum(accuracy >= at_best - WITHIN for accuracy in found[1:])
        cells = [f"{accuracy:.1%}" + ("" if accuracy >= at_best - WITHIN else " x") for accuracy in found]
        lines.append([rule, *cells, f"{num_passed} of {len(given.attacks)}"])
    print_table(
        f"Held-out accuracy, n = {NUM_GRADIENTS}, f = {NUM_BYZANTINE}, codec {given.codec}",
        ["rule", NO_ATTACK, *given.attacks, "withstands"],
        lines,
        [
            f"x: more than {WITHIN * 100:.0f} points below the mean without an attack ({at_best:.1%}); mean of "
            f"{given.seeds} seeds.",
            f"{num_updates(given.epochs)} updates, units of {BATCH_SIZE} samples; {time.monotonic() - began:.0f} s.",
        ],
    )


if __name__ == "__main__":
    main()
