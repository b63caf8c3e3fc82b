"""All that decides what gradients make of a version, in one value: for whoever merges, and whoever merges again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from contract.deltas import DeltaForm
from contract.workloads.base import Hyperparameters, Workload
from coordinator.optimizers import OPTIMIZERS, Optimizer
from coordinator.privacy import Privacy
from coordinator.recipe import Recipe
from coordinator.vectors import Vectors


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mathematics:
    vectors: Vectors
    hyperparameters: Hyperparameters
    recipe: Recipe
    optimizer: Optimizer
    # None where every version travels whole.
    deltas: DeltaForm | None = None
    # None where a version need not hide what single samples did to it.
    privacy: Privacy | None = None

    @classmethod
    def of(cls, workload: Workload, training: Mapping[str, Any], *, seed: int) -> Mathematics:
        """As the ledger, or whoever makes a run, has written it down; `seed` is the run's."""
        return cls(
            vectors=Vectors.of(workload),
            hyperparameters=workload.hyperparameters.with_settings(training["hyperparameters"]),
            recipe=Recipe.of(training, seed=seed),
            optimizer=OPTIMIZERS.build(training["optimizer"], training["optimizer_options"]),
            deltas=DeltaForm.of(workload, training["downlink"], training["downlink_options"]),
            privacy=Privacy.of(training),
        )
