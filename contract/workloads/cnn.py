from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import nn

from contract.sources.base import Dataset, Kind
from contract.workloads.base import Hyperparameters, View
from contract.workloads.classifying import ClassifyingModel, classes_misfit, fill_layers
from contract.workloads.opened import ModuleWorkload


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cnn(ModuleWorkload):
    """Image classes by two convolutions. Without BatchNorm, so that a worker may cut its batches as it likes."""

    name: ClassVar[str] = "cnn"
    version: ClassVar[int] = 1
    kind: ClassVar[Kind] = "images"
    image_size: int = 28
    channels: int = 1
    features: int = 32
    hidden_features: int = 128
    num_classes: int = 10

    def __post_init__(self) -> None:
        if self.image_size < 8:
            raise ValueError(f"image_size is at least 8, not {self.image_size}")
        if min(self.channels, self.features, self.hidden_features) < 1 or self.num_classes < 2:
            raise ValueError("channels, features and hidden_features are at least 1, num_classes at least 2")

    @property
    def hyperparameters(self) -> Hyperparameters:
        return Hyperparameters(learning_rate_g=0.001)

    @property
    def view(self) -> View:
        return View(image_size=self.image_size, channels=self.channels)

    def misfit(self, dataset: Dataset) -> str | None:
        return classes_misfit(dataset, self.num_classes)

    def _module(self) -> nn.Module:
        reduced_size = self.image_size // 4
        return nn.Sequential(
            nn.Conv2d(self.channels, self.features, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(self.features, 2 * self.features, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(2 * self.features * reduced_size**2, self.hidden_features),
            nn.ReLU(inplace=True),
            nn.Linear(self.hidden_features, self.num_classes),
        )

    def _fill(self, module: nn.Module, generator: torch.Generator) -> None:
        fill_layers(module, generator)

    def _open(self, module: nn.Module, device: str) -> ClassifyingModel:
        return ClassifyingModel(module, device)
