"""What compression, lateness and local steps cost in learning: equal samples, against dense synchronous training.

    python -m benchmarks.learning [--quick] [--only mlp,small_transformer,dcgan] [--settings dense,fp16]
                                  [--seeds 3] [--keep FILE]

One process trains the class: gradients, codecs, rules, optimizer and staleness are the product's own, arrival is
simulated. `--keep` adds what was measured to a file, and prints a table of all that is in it: a long benchmark can be
run in pieces.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import torch

from benchmarks.simulated import AsTheyCome, Traffic, in_rounds
from benchmarks.table import Row, print_rows, print_table
from contract.compressors import CODECS, encoded
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
_SPARSE: Final = "sparse"
# The same search for both sides, in multiples of the workload's own learning rate.
_RATES: Final = (2.0, 4.0, 8.0)
_LOCAL_STEPS: Final = 20
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


def _at_rate(side: str, rate: float) -> str:
    return f"{side}, rate x {rate:g}"


def settings() -> Iterator[Setting]:
    yield Setting(name=DENSE)
    for codec in CODECS.names:
        if codec != "none":
            yield Setting(name=codec, codec=codec)
    yield Setting(name="sparse, 8 bits", codec="sparse", codec_options={"bits": 8})
    yield Setting(name="sparse, feedback 0.95", codec="sparse", feedback_decay=0.95)
    yield Setting(name="sparse, adam", codec="sparse", optimizer="adam")
    for codec, side in (("none", DENSE), ("sparse", _SPARSE)):
        for rate in _RATES:
            yield Setting(name=_at_rate(side, rate), codec=codec, rate=rate)
    local = Setting(name="local", batches_per_unit=_LOCAL_STEPS, outer=(0.7, 0.5))
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


def comparison(lesson: Lesson, measured: Sequence[Measured]) -> list[list[str]]:
    """A line for each setting that was measured, against dense runs of the same seeds."""
    dense = {one.seed: one for one in measured if one.setting == DENSE}
    lines = []
    for setting in settings():
        ours = [one for one in measured if one.setting == setting.name]
        if not ours:
            continue
        ratios = [
            one.metrics[lesson.judged] / dense[one.seed].metrics[lesson.judged] - 1.0
            for one in ours
            if one.seed in dense
        ]
        lines.append(
            [
                setting.name,
                _of([one.metrics[lesson.judged] for one in ours], "{:.4f}"),
                "" if setting.name == DENSE else _of(ratios, "{:+.1%}"),
                _of([one.metrics[lesson.also] for one in ours], "{:.4f}") if lesson.also else "",
                f"{ours[0].num_exchanges:,}",
                f"{ours[0].sent_bytes / 1e6:,.2f}",
                f"{next(iter(dense.values())).sent_bytes / ours[0].sent_bytes:,.1f}" if dense else "",
                f"{ours[0].fetched_bytes / 1e6:,.2f}",
                f"{statistics.fmean(one.mean_staleness for one in ours):.1f}",
                f"{sum(one.num_refused for one in ours) / sum(one.num_exchanges for one in ours):.1%}",
            ]
        )
    return lines


def targets(lesson: Lesson, measured: Sequence[Measured]) -> list[Row]:
    """Medians over the seeds that both have."""
    seeds: dict[str, dict[int, Measured]] = {}
    for one in measured:
        seeds.setdefault(one.setting, {})[one.seed] = one
    rows = []
    for name, most in (
        (_SPARSE, 1.01),
        ("local", 1.01),
        ("local, sparse", None),
        ("downlink two_bit", 1.01),
    ):
        pairs = [(one, seeds[DENSE][seed]) for seed, one in seeds.get(name, {}).items() if seed in seeds.get(DENSE, {})]
        if not pairs:
            continue
        ours, dense = zip(*pairs, strict=True)
        metric, of_dense = (statistics.median(one.metrics[lesson.judged] for one in side) for side in (ours, dense))
        rows.append(
            Row(
                question=f"{name}: held-out {lesson.judged}",
                measured=f"{metric:.4f}",
                against=f"dense {of_dense:.4f}",
                ratio=statistics.median(
                    one.metrics[lesson.judged] / other.metrics[lesson.judged] for one, other in pairs
                ),
                at_most=most,
            )
        )
        if name.startswith("local"):
            rows.append(_fewer(f"{name}: exchanges", dense[0].num_exchanges, ours[0].num_exchanges, at_least=20))
        if name == "local, sparse":
            rows.append(_fewer(f"{name}: bytes sent", dense[0].sent_bytes, ours[0].sent_bytes, at_least=2000))
    best = [_best(lesson, seeds, side) for side in (DENSE, _SPARSE)]
    if all(found is not None for found in best):
        (dense_name, of_dense), (sparse_name, ours_at_best) = (found for found in best if found is not None)
        rows.append(
            Row(
                question=f"each at the best rate of {len(_RATES) + 1}: {sparse_name}",
                measured=f"{ours_at_best:.4f}",
                against=f"{dense_name} {of_dense:.4f}",
                ratio=ours_at_best / of_dense,
                at_most=1.01,
            )
        )
    return rows


def _best(lesson: Lesson, seeds: Mapping[str, Mapping[int, Measured]], side: str) -> tuple[str, float] | None:
    """Of the rates that were searched: the one with the lowest median, and that."""
    names = [side, *(_at_rate(side, rate) for rate in _RATES)]
    if any(name not in seeds for name in names):
        return None
    medians = {name: statistics.median(one.metrics[lesson.judged] for one in seeds[name].values()) for name in names}
    name = min(names, key=lambda name: medians[name])
    return name, medians[name]


def sizes(names: Sequence[str]) -> list[list[str]]:
    """Of one exchange of the workloads as they come: small tensors go whole, and weigh more in the small models of the
    lessons."""
    lines = []
    for name in names:
        workload = WORKLOADS.build(LESSONS[name].workload)
        weights = workload.initial(0)
        whole = len(encoded(CODECS.build("none"), weights, seed=0))
        for codec in CODECS.names:
            num_bytes = len(encoded(CODECS.build(codec), weights, seed=0))
            ratio = whole / num_bytes
            lines.append([name, codec, f"{num_bytes / 1e6:,.3f}", f"{ratio:,.1f}", f"{ratio * _LOCAL_STEPS:,.0f}"])
    return lines


def _fewer(question: str, dense: int, ours: int, *, at_least: float) -> Row:
    return Row(
        question=question, measured=f"{ours:,}", against=f"dense {dense:,}", ratio=dense / ours, at_least=at_least
    )


def _of(values: Sequence[float], form: str) -> str:
    """The median, and between what the seeds lie."""
    middle = form.format(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({form.format(min(values))} to {form.format(max(values))})"


def read_kept(file: Path) -> list[Measured]:
    return [Measured(**one) for one in json.loads(file.read_text())] if file.exists() else []


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="so few samples that nothing is learnt")
    parser.add_argument("--only", default=",".join(LESSONS), help="some of the lessons, separated by commas")
    parser.add_argument("--settings", help="some of the settings, separated by semicolons")
    parser.add_argument("--seeds", type=int, help="how many runs of each setting; 0 prints what is kept")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a file that remembers what was measured")
    given = parser.parse_args(arguments)
    chosen = {setting.name: setting for setting in settings()}
    if given.settings:
        chosen = {name: chosen[name] for name in given.settings.split(";")}
    measured = read_kept(given.keep) if given.keep else []
    for name in given.only.split(","):
        lesson = LESSONS[name]
        if given.quick:
            lesson = dataclasses.replace(lesson, num_batches=80, num_judged=128, num_seeds=1)
        for setting in chosen.values():
            for seed in range(
                given.first_seed, given.first_seed + (lesson.num_seeds if given.seeds is None else given.seeds)
            ):
                of_before = [
                    one for one in measured if (one.lesson, one.setting, one.seed) != (name, setting.name, seed)
                ]
                measured = [*of_before, lesson.train(setting, seed=seed)]
                if given.keep:
                    given.keep.write_text(json.dumps([dataclasses.asdict(one) for one in measured], indent=1))
        of_lesson = [one for one in measured if one.lesson == name]
        print_table(
            f"{name} on {lesson.data}, {lesson.num_batches * lesson.batch_size:,} samples",
            (
                "setting",
                f"held-out {lesson.judged}",
                "against dense",
                lesson.also or "",
                "exchanges",
                "MB sent",
                "times fewer",
                "MB fetched",
                "staleness",
                "refused",
            ),
            comparison(lesson, of_lesson),
            ["Medians, in brackets the extremes over the seeds; against dense by seed."],
        )
        print_rows(f"{name}: what was to be reached", targets(lesson, of_lesson))
    print_table(
        "Bytes of an exchange",
        ("workload", "codec", "MB", "times fewer", f"with {_LOCAL_STEPS} local steps"),
        sizes(given.only.split(",")),
        ["The blob of a gradient as the codec writes it; the workload with the options it comes with."],
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
