"""From what decides a run to a model and its data on this computer, or a clear word why that cannot be."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from contract.config import Config, export_token, resolve_path
from contract.errors import DataError, UpgradeRequired
from contract.sources import SOURCES, Batch, Dataset
from contract.sources.base import DecodedDataset
from contract.workloads import WORKLOADS
from contract.workloads.base import Workload


class Definition(Protocol):
    """What decides a run's work; it comes with the answer to joining, and can be read without."""

    @property
    def workload(self) -> str: ...
    @property
    def workload_options(self) -> Mapping[str, Any]: ...
    @property
    def data(self) -> Mapping[str, Any]: ...
    @property
    def training(self) -> Mapping[str, Any]: ...
    @property
    def seed(self) -> int: ...


def open_workload(definition: Definition) -> Workload:
    workload = WORKLOADS.build(definition.workload, definition.workload_options)
    if workload.version != definition.training["workload_version"]:
        raise UpgradeRequired(
            f"the run computes {workload.name} version {definition.training['workload_version']}, this Barnraise has "
            f"version {workload.version}; upgrade with `pip install --upgrade barnraise`"
        )
    return workload


def open_dataset(definition: Definition, workload: Workload, config: Config, config_file: Path | None) -> Dataset:
    dataset = open_whatever_is_here(definition, workload, config, config_file)
    require_same_data(definition, dataset)
    return dataset


def open_whatever_is_here(
    definition: Definition, workload: Workload, config: Config, config_file: Path | None
) -> Dataset:
    export_token(config)
    source = SOURCES.build(definition.data["name"], definition.data["options"])
    path = config.data.path
    return source.open(
        path=resolve_path(path, config_file=config_file) if path else None, split="train",
        num_samples=definition.data["num_samples"], seed=definition.seed, **workload.view,
    )  # fmt: skip


def require_same_data(definition: Definition, dataset: Dataset) -> None:
    if dataset.fingerprint != definition.data["fingerprint"]:
        raise DataError(
            definition.data["name"],
            f"this computer's data is not the run's: here it is {dataset.description}, "
            f"fingerprint {dataset.fingerprint[:12]}, the run's is {definition.data['fingerprint'][:12]}",
            "get the files that the instructor has, and set data.path to them",
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ThreadedDataset:
    """Decodes a batch's pictures on several threads: Pillow lets the others run meanwhile, processes would only add
    copies. What is drawn or cut out of memory is not helped by threads, and stays as it is."""

    dataset: DecodedDataset
    pool: ThreadPoolExecutor
    num_threads: int

    @property
    def num_samples(self) -> int:
        return self.dataset.num_samples

    @property
    def fingerprint(self) -> str:
        return self.dataset.fingerprint

    @property
    def description(self) -> str:
        return self.dataset.description

    @property
    def num_classes(self) -> int | None:
        return self.dataset.num_classes

    @property
    def vocabulary_size(self) -> int | None:
        return self.dataset.vocabulary_size

    def batch(self, indices: Sequence[int]) -> Batch:
        share = max(1, -(-len(indices) // self.num_threads))
        parts = [indices[first : first + share] for first in range(0, len(indices), share)]
        return _joined(list(self.pool.map(self.dataset.batch, parts)))


def with_threads(dataset: Dataset, num_threads: int) -> Dataset:
    if num_threads < 2 or not isinstance(dataset, DecodedDataset):
        return dataset
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="samples")
    return ThreadedDataset(dataset=dataset, pool=pool, num_threads=num_threads)


def _joined(parts: Sequence[Batch]) -> Batch:
    def all_of(name: str) -> Tensor | None:
        tensors = [getattr(part, name) for part in parts]
        return None if tensors[0] is None else torch.cat(tensors)

    return Batch(images=all_of("images"), labels=all_of("labels"), tokens=all_of("tokens"))
