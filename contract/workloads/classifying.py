"""Image classes: what `mlp` and `cnn` share."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from contract.sources.base import Batch, Dataset
from contract.workloads.opened import LossModel, fill_linear


class ClassifyingModel(LossModel):
    def _loss(self, batch: Batch) -> Tensor:
        images, labels = _labelled(batch)
        return functional.cross_entropy(self.module(images.to(self.device)), labels.to(self.device))

    def _metrics(self, batches: Iterator[Batch], num_samples: int, seed: int) -> dict[str, float]:
        loss = correct = 0.0
        for batch in batches:
            images, labels = _labelled(batch)
            scores = self.module(images.to(self.device)).cpu()
            loss += functional.cross_entropy(scores, labels, reduction="sum").item()
            correct += (scores.argmax(1) == labels).sum().item()
        return {"loss": loss / num_samples, "accuracy": correct / num_samples}


def classes_misfit(dataset: Dataset, num_classes: int) -> str | None:
    if dataset.num_classes is None:
        return "needs images with labels, and this data has none"
    if dataset.num_classes > num_classes:
        return f"knows {num_classes} classes, the data has {dataset.num_classes}; set model.options.num_classes"
    return None


def fill_layers(module: nn.Module, generator: torch.Generator) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            fill_linear(layer.weight, layer.bias, generator)


def _labelled(batch: Batch) -> tuple[Tensor, Tensor]:
    assert batch.images is not None
    assert batch.labels is not None
    return batch.images, batch.labels
