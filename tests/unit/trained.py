"""Small members of every workload, with data for them: each test in milliseconds, on the same code as the large."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import lru_cache

from contract.compressors import CODECS
from contract.sources import SOURCES, Batch, Dataset, Split
from contract.tensors import pack
from contract.workloads import WORKLOADS, Workload
from contract.workloads.base import GradientResult, Hyperparameters
from coordinator.new_run import optimizer_of
from coordinator.optimizers import OPTIMIZERS
from coordinator.training_local import LocalRun, Schooling

SEED = 11
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
    mode: str = "sync",
    codec: str = "none",
    batch_size: int = 8,
    batches_per_unit: int = 2,
    units_per_update: int = 2,
) -> LocalRun:
    return LocalRun(
        workload,
        dataset,
        Schooling(
            mode=mode,
            batch_size=batch_size,
            batches_per_unit=batches_per_unit,
            units_per_update=units_per_update,
            hyperparameters=hyperparameters or workload.hyperparameters,
            optimizer=OPTIMIZERS.build("nesterov" if mode == "local" else optimizer_of(codec)),
            codec=CODECS.build(codec),
        ),
    )


def computed(workload: Workload, samples: Batch, *, seed: int = SEED, batch_size: int = 8) -> GradientResult:
    model = workload.open_model()
    model.load(workload.initial(3))
    return model.gradient(samples, seed=seed, batch_size=batch_size)


def same_bits(first: GradientResult, second: GradientResult) -> bool:
    return pack(first.tensors) == pack(second.tensors) and first.losses == second.losses


@dataclasses.dataclass(frozen=True)
class Few:
    """The first samples of a dataset, as a dataset."""

    whole: Dataset
    num_samples: int

    @property
    def fingerprint(self) -> str:
        return self.whole.fingerprint

    @property
    def description(self) -> str:
        return self.whole.description

    @property
    def num_classes(self) -> int | None:
        return self.whole.num_classes

    @property
    def vocabulary_size(self) -> int | None:
        return self.whole.vocabulary_size

    def batch(self, indices: Sequence[int]) -> Batch:
        return self.whole.batch(indices)
