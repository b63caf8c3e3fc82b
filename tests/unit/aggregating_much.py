"""What aggregating adds to this process's memory, in MiB, the most of any rule: run in a process of its own.

python -m tests.unit.aggregating_much NUM_GRADIENTS torch|compiled

The first number is what loading the kernels took, once and for all; the second what the aggregation takes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import torch

from benchmarks.spent import extra_bytes
from contract.compressors import CODECS, blob_manifest, open_blob, range_reader
from contract.ids import GradientId
from contract.tensors import Manifest
from coordinator.aggregators import AGGREGATORS, Centre, Contribution
from coordinator.aggregators.compiled import folds
from coordinator.preaggregators import PREAGGREGATORS
from coordinator.recipe import Recipe
from tests.unit.merging_much import blank, peak_bytes

# 16 MB: sixteen whole vectors would be a quarter of a gigabyte.
SIZES = {"large": 3 << 20, "middle": (1 << 20) - 5, "small": 5}


def main() -> None:
    torch.set_num_threads(1)
    manifest = Manifest.of({name: torch.empty(size) for name, size in SIZES.items()})
    codec = CODECS.build("none")
    # One gradient in many places: where they lie is not the rule's memory.
    blob = blank(blob_manifest(codec, manifest))
    contributions = [
        Contribution(
            gradient=GradientId(number),
            weight=1.0,
            decoder=open_blob(codec, range_reader(blob), len(blob), manifest),
        )
        for number in range(int(sys.argv[1]))
    ]
    totals = {name: torch.ones(size) for name, size in SIZES.items()}
    centre = Centre(tensors={name: torch.ones(size) for name, size in SIZES.items()})
    is_compiled = sys.argv[2] == "compiled"
    begin = peak_bytes()
    if is_compiled:
        aggregate(contributions, totals, centre, {"small": SIZES["small"]}, compiled_from=0)
        folds.finish()
    of_kernels = peak_bytes() - begin
    compiled_from = 0 if is_compiled else None
    of_aggregating = extra_bytes(lambda: aggregate(contributions, totals, centre, SIZES, compiled_from=compiled_from))
    assert of_aggregating is not None
    print(of_kernels / (1 << 20), of_aggregating / (1 << 20))  # noqa: T201


def aggregate(
    contributions: Sequence[Contribution],
    totals: Mapping[str, torch.Tensor],
    centre: Centre,
    sizes: Mapping[str, int],
    *,
    compiled_from: int | None,
) -> None:
    for rule in AGGREGATORS:
        for preaggregators in ((), (PREAGGREGATORS.build("nnm"),)):
            recipe = Recipe(rule=rule(), before=preaggregators, compiled_from=compiled_from)
            combination = recipe.combine(contributions, sizes, centre=centre)
            combination.fill({name: totals[name] for name in sizes})


if __name__ == "__main__":
    main()
