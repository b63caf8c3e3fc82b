from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor, nn

from contract.sources.base import Dataset, Kind
from contract.workloads.base import Hyperparameters, View
from contract.workloads.opened import ModuleWorkload, bare_embedding, fill_linear
from contract.workloads.predicting import PredictingModel, vocabulary_misfit


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TinyLstm(ModuleWorkload):
    """The next token by an embedding of 64 and two LSTM layers of 128."""

    name: ClassVar[str] = "tiny_lstm"
    version: ClassVar[int] = 1
    kind: ClassVar[Kind] = "text"
    vocabulary_size: int = 256
    context: int = 128
    embedding_features: int = 64
    hidden_features: int = 128
    num_layers: int = 2

    def __post_init__(self) -> None:
        if min(self.context, self.embedding_features, self.hidden_features, self.num_layers) < 1:
            raise ValueError("context, embedding_features, hidden_features and num_layers are at least 1")
        if self.vocabulary_size < 2:
            raise ValueError(f"vocabulary_size is at least 2, not {self.vocabulary_size}")

    @property
    def hyperparameters(self) -> Hyperparameters:
        return Hyperparameters(learning_rate_g=0.003)

    @property
    def view(self) -> View:
        return View(context=self.context)

    def misfit(self, dataset: Dataset) -> str | None:
        return vocabulary_misfit(dataset, self.vocabulary_size)

    def _module(self) -> nn.Module:
        return _Network(self)

    def _fill(self, module: nn.Module, generator: torch.Generator) -> None:
        assert isinstance(module, _Network)
        module.embedding.weight.normal_(generator=generator)
        bound = self.hidden_features**-0.5
        for parameter in module.lstm.parameters():
            parameter.uniform_(-bound, bound, generator=generator)
        fill_linear(module.head.weight, module.head.bias, generator)

    def _open(self, module: nn.Module, device: str) -> PredictingModel:
        return PredictingModel(module, device, context=self.context)


class _Network(nn.Module):
    def __init__(self, options: TinyLstm) -> None:
        super().__init__()
        self.embedding = bare_embedding(options.vocabulary_size, options.embedding_features)
        self.lstm = nn.LSTM(
            options.embedding_features, options.hidden_features, num_layers=options.num_layers, batch_first=True
        )
        self.head = nn.Linear(options.hidden_features, options.vocabulary_size)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden, _ = self.lstm(self.embedding(tokens))
        scores: Tensor = self.head(hidden)
        return scores
