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
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.simulated import AsTheyCome, Traffic, in_rounds
from benchmarks.table import Row, print_rows, print_table
from contract.compressors import CODECS
from contract.sources import SOURCES, Dataset, Split
from contract.workloads import WORKLOADS, Workload
from coordinator.class_size import num_gradients_for
from coordinator.staleness import Policy
from coordinator.training_local import LocalRun, Schooling


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """`judged` is the metric the targets speak of, less of it is better; `also` is shown beside it."""

    workload: str
    options: Mapping[str, object]
    data: str
    data_options: Mapping[str, object] = dataclasses.field(default_factory=dict)
    learning_rates: Mapping[str, float] = dataclasses.field(default_factory=dict)
    batch_size: int
    num_batches: int
    num_judged: int
    judged: str = "loss"
    also: str | None = None
    num_seeds: int

    def opened(self, split: Split) -> tuple[Workload, Dataset]:
        workload = WORKLOADS.build(self.workload, self.options)
        source = SOURCES.build(self.data, self.data_options)
        return workload, source.open(path=None, split=split, num_samples=None, **workload.view)


LESSONS: Final = {
    "mlp": Lesson(
        workload="mlp",
        options={"num_classes": 36},
        data="glyphs",
        data_options={"num_classes": 36},
        batch_size=32,
        num_batches=8000,
        num_judged=10_000,
        also="accuracy",
        num_seeds=3,
    ),
    "small_transformer": Lesson(
        workload="small_transformer",
        options={"features": 64, "hidden_features": 256, "num_layers": 2, "context": 64, "decay_updates": 400},
        data="stdlib",
        batch_size=8,
        num_batches=1600,
        num_judged=1024,
        also="perplexity",
        num_seeds=2,
    ),
    "dcgan": Lesson(
        workload="dcgan",
        options={"image_size": 32, "generator_features": 16, "discriminator_features": 16},
        data="glyphs",
        batch_size=32,
        num_batches=1600,
        num_judged=1024,
        judged="frechet_distance",
        num_seeds=2,
    ),
}
