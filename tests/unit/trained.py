"""Small members of every workload, with data for them: each test in milliseconds, on the same code as the large."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from contract.compressors import CODECS
from contract.sources import SOURCES, Batch, Dataset, Split
from contract.workloads import WORKLOADS, Workload
from contract.workloads.base import Hyperparameters
from coordinator.training_local import LocalRun, Schooling

SMALL: Mapping[str, Mapping[str, object]] = {
    "dcgan": {"image_size": 32, "latent_dim": 16, "generator_features": 4, "discriminator_features": 4},
    "mlp": {"image_size": 12, "hidden_features": 16},
    "cnn": {"image_size": 12, "features": 4, "hidden_features": 16},
    "tiny_lstm": {"context": 16, "embedding_features": 8, "hidden_features": 16},
    "small_transformer": {"context": 16, "features": 16, "num_layers": 2, "num_heads": 2, "hidden_features": 32},
}


@lru_cache
def small(name: str) -> Workload:
    """A workload without a line here is tested as it is, and may be slow."""
    return WORKLOADS.build(name, SMALL.get(name, {}))


@lru_cache
def dataset_for(workload: Workload, split: Split = "train", num_samples: int | None = 256) -> Dataset:
    source = SOURCES.build("glyphs" if workload.kind == "images" else "stdlib")
    return source.open(path=None, split=split, num_samples=num_samples, **workload.view)


def samples_for(workload: Workload, count: int) -> Batch:
    return dataset_for(workload).batch(range(count))


def local_run(
    workload: Workload,
    dataset: Dataset,
    *,
    hyperparameters: Hyperparameters | None = None,
    codec: str = "none",
    batch_size: int = 8,
    batches_per_unit: int = 2,
    units_per_update: int = 2,
) -> LocalRun:
    return LocalRun(
        workload,
        dataset,
        Schooling(
            batch_size=batch_size,
            batches_per_unit=batches_per_unit,
            units_per_update=units_per_update,
            hyperparameters=hyperparameters or workload.hyperparameters,
            codec=CODECS.build(codec),
        ),
    )
