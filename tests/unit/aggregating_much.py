"""What aggregating adds to this process's memory, in MiB, the most of any rule: run in a process of its own.

python -m tests.unit.aggregating_much NUM_GRADIENTS
"""

from __future__ import annotations

import sys

import torch

from contract.compressors import CODECS, blob_manifest, open_blob, range_reader
from contract.ids import GradientId
from contract.tensors import Manifest
from coordinator.aggregators import AGGREGATORS, Centre, Contribution
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
    before = peak_bytes()
    for rule in AGGREGATORS:
        for preaggregators in ((), (PREAGGREGATORS.build("nnm"),)):
            recipe = Recipe(rule=rule(), before=preaggregators)
            combination = recipe.combine(contributions, SIZES, centre=centre)
            combination.fill(totals)
    print((peak_bytes() - before) / (1 << 20))  # noqa: T201


if __name__ == "__main__":
    main()
