"""What classes learn, and how: the lessons and settings that `benchmarks.learning` compares."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Iterator, Mapping
from typing import Final

from benchmarks.simulated import AsTheyCome, Traffic, in_rounds
from contract.compressors import CODECS
from contract.deltas import DeltaForm
from contract.sources import SOURCES, Dataset, Split
from contract.workloads import WORKLOADS
from contract.workloads.base import Workload
from coordinator.class_size import num_gradients_for
from coordinator.decays import DECAYS
from coordinator.new_run import feedback_decay_of, optimizer_of
from coordinator.optimizers import OPTIMIZERS
from coordinator.staleness import Policy
from coordinator.training_local import LocalRun, Schooling


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """`judged` is the metric that the targets speak of, less of it is better; `also` is shown beside it."""

    workload: str
    options: Mapping[str, object]
    data: str
    data_options: Mapping[str, object] = dataclasses.field(default_factory=dict)
    batch_size: int
    num_batches: int
    # In rounds; asynchronous classes have as many as they have speeds.
    num_workers: int
    num_judged: int
    judged: str = "loss"
    also: str | None = None
    num_seeds: int

    def opened(self, split: Split) -> tuple[Workload, Dataset]:
        workload = WORKLOADS.build(self.workload, self.options)
        source = SOURCES.build(self.data, self.data_options)
        return workload, source.open(path=None, split=split, num_samples=None, **workload.view)

    def train(self, setting: Setting, *, seed: int) -> Measured:
        workload, dataset = self.opened("train")
        _, held_out = self.opened("held_out")
        run = LocalRun(workload, dataset, setting.schooling(self, workload, seed))
        began = time.monotonic()
        traffic = setting.train(
            run, num_units=self.num_batches // setting.batches_per_unit, num_workers=self.num_workers
        )
        return Measured(
            lesson=self.workload,
            setting=setting.name,
            seed=seed,
            metrics=run.model.evaluate(held_out, max_samples=self.num_judged),
            num_exchanges=traffic.num_exchanges,
            sent_bytes=traffic.sent_bytes,
            fetched_bytes=traffic.fetched_bytes,
            num_refused=traffic.num_refused,
            mean_staleness=statistics.fmean(traffic.staleness),
            seconds=time.monotonic() - began,
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How a class learns. Asynchronous where its workers have speeds."""

    name: str
    codec: str = "none"
    codec_options: Mapping[str, object] = dataclasses.field(default_factory=dict)
    speeds: tuple[float, ...] = ()
    decay: str = "inverse_sqrt"
    batches_per_unit: int = 1
    # Of local steps: the coordinator's learning rate and momentum.
    outer: tuple[float, float] | None = None
    feedback_decay: float | None = None
    downlink: str = "none"
    # Times the workload's own learning rate, and another optimizer than the run would have.
    rate: float = 1.0
    optimizer: str | None = None

    def schooling(self, lesson: Lesson, workload: Workload, seed: int) -> Schooling:
        given = workload.hyperparameters
        hyperparameters = dataclasses.replace(
            given,
            learning_rate_g=given.learning_rate_g * self.rate,
            learning_rate_d=given.learning_rate_d * self.rate,
        )
        if self.outer is None:
            mode, optimizer = "sync", OPTIMIZERS.build(self.optimizer or optimizer_of(self.codec))
        else:
            rate, momentum = self.outer
            mode, optimizer = "local", OPTIMIZERS.build("nesterov", {"learning_rate": rate, "momentum": momentum})
        return Schooling(
            mode=mode,
            seed=seed,
            batch_size=lesson.batch_size,
            batches_per_unit=self.batches_per_unit,
            hyperparameters=hyperparameters,
            optimizer=optimizer,
            codec=CODECS.build(self.codec, self.codec_options),
            deltas=DeltaForm.of(workload, self.downlink, {}),
            feedback_decay=feedback_decay_of(mode, self.feedback_decay),
        )

    def train(self, run: LocalRun, *, num_units: int, num_workers: int) -> Traffic:
        if not self.speeds:
            return in_rounds(run, num_units=num_units, num_workers=num_workers)
        policy = Policy.of({"policy": "adaptive", "decay": self.decay})
        per_update = num_gradients_for(len(self.speeds))
        return AsTheyCome(run, speeds=self.speeds, per_update=per_update, policy=policy).train(num_units)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    lesson: str
    setting: str
    seed: int
    metrics: Mapping[str, float]
    num_exchanges: int
    sent_bytes: int
    fetched_bytes: int
    num_refused: int
    mean_staleness: float
    seconds: float


DENSE: Final = "dense"
SPARSE: Final = "sparse"
# The same search for both sides, in multiples of the workload's own learning rate.
RATES: Final = (2.0, 4.0, 8.0)
LOCAL_STEPS: Final = 20
_EQUAL, _UNEQUAL = (1.0, 1.0, 1.0, 1.0), (2.0, 1.0, 0.5, 0.2, 0.1)

LESSONS: Final = {
    "mlp": Lesson(
        workload="mlp",
        options={"num_classes": 36, "warmup_updates": 100, "decay_updates": 1500, "last_rate_share": 0.01},
        data="glyphs",
        # Harder than it comes, or the loss would end near zero, and a per cent of it be nothing.
        data_options={"num_classes": 36, "noise": 90},
        batch_size=32,
        num_batches=6400,
        num_workers=4,
        num_judged=10_000,
        also="accuracy",
        num_seeds=3,
    ),
    "small_transformer": Lesson(
        workload="small_transformer",
        options={
            "features": 64,
            "hidden_features": 256,
            "num_layers": 2,
            "context": 32,
            "decay_updates": 550,
            "last_rate_share": 0.01,
        },
        data="stdlib",
        batch_size=8,
        num_batches=1200,
        num_workers=2,
        num_judged=1024,
        also="perplexity",
        num_seeds=1,
    ),
    "dcgan": Lesson(
        workload="dcgan",
        options={"image_size": 32, "generator_features": 16, "discriminator_features": 16},
        data="glyphs",
        batch_size=32,
        num_batches=800,
        num_workers=2,
        num_judged=1024,
        judged="frechet_distance",
        num_seeds=1,
    ),
}


def at_rate(side: str, rate: float) -> str:
    return f"{side}, rate x {rate:g}"


def settings() -> Iterator[Setting]:
    yield Setting(name=DENSE)
    for codec in CODECS.names:
        if codec != "none":
            yield Setting(name=codec, codec=codec)
    yield Setting(name="sparse, 8 bits", codec="sparse", codec_options={"bits": 8})
    yield Setting(name="sparse, feedback 0.95", codec="sparse", feedback_decay=0.95)
    yield Setting(name="sparse, adam", codec="sparse", optimizer="adam")
    for codec, side in (("none", DENSE), ("sparse", SPARSE)):
        for rate in RATES:
            yield Setting(name=at_rate(side, rate), codec=codec, rate=rate)
    local = Setting(name="local", batches_per_unit=LOCAL_STEPS, outer=(0.7, 0.5))
    yield local
    yield dataclasses.replace(local, name="local, outer 0.7, 0.9", outer=(0.7, 0.9))
    yield dataclasses.replace(local, name="local, sparse", codec="sparse")
    yield dataclasses.replace(local, name="local, sparse, outer 1.0, 0.5", codec="sparse", outer=(1.0, 0.5))
    for codec in ("two_bit", "sign", "int8"):
        yield Setting(name=f"downlink {codec}", downlink=codec)
    yield Setting(name="async, equal workers", speeds=_EQUAL)
    for decay in DECAYS.names:
        yield Setting(name=f"async, unequal workers, {decay}", speeds=_UNEQUAL, decay=decay)
    yield Setting(name="async, equal workers, sparse", speeds=_EQUAL, codec="sparse")
