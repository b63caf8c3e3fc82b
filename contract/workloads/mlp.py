from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import nn

from contract.sources.base import Dataset, Kind
from contract.workloads.base import Group, Hyperparameters, Schedule, View
from contract.workloads.classifying import ClassifyingModel, classes_misfit, fill_layers
from contract.workloads.opened import ModuleWorkload


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mlp(ModuleWorkload):
    """Image classes by one hidden layer: 784-128-10 unless told otherwise."""

    name: ClassVar[str] = "mlp"
    version: ClassVar[int] = 1
    kind: ClassVar[Kind] = "images"
    image_size: int = 28
    channels: int = 1
    hidden_features: int = 128
    num_classes: int = 10
    warmup_updates: int = 0
    # 0 keeps the learning rate as it is; it is felt where a last per cent is to be measured.
    decay_updates: int = 0
    last_rate_share: float = 0.1

    def __post_init__(self) -> None:
        if min(self.image_size, self.channels, self.hidden_features) < 1 or self.num_classes < 2:
            raise ValueError("image_size, channels and hidden_features are at least 1, num_classes at least 2")
        # Whether its options make one.
        _ = self._schedule

    @property
    def _schedule(self) -> Schedule:
        return Schedule.of_options(
            warmup_updates=self.warmup_updates,
            decay_updates=self.decay_updates,
            last_rate_share=self.last_rate_share,
        )

    @property
    def hyperparameters(self) -> Hyperparameters:
        return Hyperparameters(learning_rate_g=0.002)

    @property
    def view(self) -> View:
        return View(image_size=self.image_size, channels=self.channels)

    def misfit(self, dataset: Dataset) -> str | None:
        return classes_misfit(dataset, self.num_classes)

    def groups(self) -> tuple[Group, ...]:
        # By its name: a dataclass with slots is another class than the one that super() knows.
        return tuple(dataclasses.replace(group, schedule=self._schedule) for group in ModuleWorkload.groups(self))

    def _module(self) -> nn.Module:
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(self.channels * self.image_size**2, self.hidden_features),
            nn.ReLU(),
            nn.Linear(self.hidden_features, self.num_classes),
        )

    def _fill(self, module: nn.Module, generator: torch.Generator) -> None:
        fill_layers(module, generator)

    def _open(self, module: nn.Module, device: str) -> ClassifyingModel:
        return ClassifyingModel(module, device)
