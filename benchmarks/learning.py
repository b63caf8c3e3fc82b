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
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from benchmarks.lessons import DENSE, LESSONS, LOCAL_STEPS, RATES, SPARSE, Lesson, Measured, at_rate, settings
from benchmarks.table import Row, print_rows, print_table
from contract.compressors import CODECS, encoded
from contract.workloads import WORKLOADS


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
        (SPARSE, 1.01),
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
    best = [_best(lesson, seeds, side) for side in (DENSE, SPARSE)]
    if all(found is not None for found in best):
        (dense_name, of_dense), (sparse_name, ours_at_best) = (found for found in best if found is not None)
        rows.append(
            Row(
                question=f"each at the best rate of {len(RATES) + 1}: {sparse_name}",
                measured=f"{ours_at_best:.4f}",
                against=f"{dense_name} {of_dense:.4f}",
                ratio=ours_at_best / of_dense,
                at_most=1.01,
            )
        )
    return rows


def _best(lesson: Lesson, seeds: Mapping[str, Mapping[int, Measured]], side: str) -> tuple[str, float] | None:
    """Of the rates that were searched: the one with the lowest median, and that."""
    names = [side, *(at_rate(side, rate) for rate in RATES)]
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
            lines.append([name, codec, f"{num_bytes / 1e6:,.3f}", f"{ratio:,.1f}", f"{ratio * LOCAL_STEPS:,.0f}"])
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
        ("workload", "codec", "MB", "times fewer", f"with {LOCAL_STEPS} local steps"),
        sizes(given.only.split(",")),
        ["The blob of a gradient as the codec writes it; the workload with the options it comes with."],
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
