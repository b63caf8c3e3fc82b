"""The run of the stage without a stage: what must come out whatever befalls the processes."""

from __future__ import annotations

import hashlib
from typing import Any

import torch

from contract.compressors import CODECS
from contract.config import Config
from contract.deltas import DeltaForm
from contract.sources import SOURCES
from contract.workloads import WORKLOADS
from coordinator.training_local import LocalRun, Schooling
from tests.acceptance.stage import NUM_UPDATES, TINY


def of_local_training(codec: str = "none", **options: Any) -> bytes:
    """The weights that the same run has in one process that nobody disturbs."""
    torch.set_num_threads(1)
    workload = WORKLOADS.build("mlp", TINY["model"]["options"])
    options = {"deltas": DeltaForm.of(workload, Config().compression.downlink, {}), **options}
    training, num_samples = TINY["training"], TINY["data"]["num_samples"]
    dataset = SOURCES.build("glyphs", {}).open(
        path=None, split="train", num_samples=num_samples, seed=TINY["run"]["seed"], **workload.view
    )
    run = LocalRun(
        workload,
        dataset,
        Schooling(
            seed=TINY["run"]["seed"],
            batch_size=training["batch_size"],
            batches_per_unit=training["batches_per_work_unit"],
            units_per_update=training["num_workunits_per_update"],
            hyperparameters=workload.hyperparameters.with_settings({"learning_rate_g": training["learning_rate_g"]}),
            codec=CODECS.build(codec),
            **options,
        ),
    )
    for _ in run.updates(NUM_UPDATES):
        pass
    return hashlib.sha256(run.state.weights_blob).digest()
