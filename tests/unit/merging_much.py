"""What one merge adds to this process's memory, as a multiple of the model: run in a process of its own.

python -m tests.unit.merging_much NUM_GRADIENTS DOWNLINK
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch

from contract.compressors import CODECS, blob_manifest, open_blob, range_reader
from contract.deltas import DeltaForm
from contract.ids import GradientId
from contract.tensors import Manifest
from contract.workloads.small_transformer import SmallTransformer
from coordinator.admission import Admitted, admit
from coordinator.aggregators import AGGREGATORS
from coordinator.mathematics import Mathematics
from coordinator.optimizers import OPTIMIZERS
from coordinator.recipe import Recipe
from coordinator.step import TrainingState, advance, optimizer_manifest
from coordinator.vectors import Vectors

# 25 million parameters.
WORKLOAD = SmallTransformer(features=512, num_layers=8, hidden_features=2048)


def peak_bytes() -> int:
    """Of this process so far."""
    if sys.platform == "linux":
        # Not ru_maxrss: a child takes over its parent's.
        words = Path("/proc/self/status").read_text().split()
        return int(words[words.index("VmHWM:") + 1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    torch.set_num_threads(1)
    vectors = Vectors.of(WORKLOAD)
    how = Mathematics(
        vectors=vectors,
        hyperparameters=WORKLOAD.hyperparameters,
        recipe=Recipe(rule=AGGREGATORS.build("mean")),
        optimizer=OPTIMIZERS.build("adam"),
        deltas=DeltaForm.of(WORKLOAD, sys.argv[2], {}),
    )
    codec = CODECS.build("fp16")
    # One gradient in many places: where they lie is not the coordinator's memory, a real one lies in the database.
    blob = blank(blob_manifest(codec, vectors.manifest))
    before = peak_bytes()
    state = TrainingState.resume(blank(vectors.manifest), blank(optimizer_manifest(how)), how, step=0)
    gradients = []
    for number in range(int(sys.argv[1])):
        verdict = admit(
            gradient=GradientId(number),
            decoder=open_blob(codec, range_reader(blob), len(blob), vectors.manifest),
            vectors=vectors,
            num_samples=16,
            unit_samples=16,
        )
        assert isinstance(verdict, Admitted)
        gradients.append(verdict)
    advance(state, gradients, how)
    print((peak_bytes() - before) / vectors.manifest.num_bytes)  # noqa: T201


def blank(manifest: Manifest) -> bytearray:
    header = manifest.header()
    blob = bytearray(manifest.blob_bytes)
    blob[: len(header)] = header
    return blob


if __name__ == "__main__":
    main()
