from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from contract.sources.base import Dataset, Kind
from contract.workloads.base import Group, Hyperparameters, Schedule, View
from contract.workloads.noise import SampleDropout
from contract.workloads.opened import ModuleWorkload, bare_embedding
from contract.workloads.predicting import PredictingModel, vocabulary_misfit


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SmallTransformer(ModuleWorkload):
    """The next token by a causal GPT: layer norm first, dropout on embeddings and on what each block adds.

    The attention itself has no dropout: that would take the fast kernel away, and gains nothing at this size.
    """

    name: ClassVar[str] = "small_transformer"
    version: ClassVar[int] = 1
    kind: ClassVar[Kind] = "text"
    vocabulary_size: int = 256
    context: int = 128
    features: int = 256
    num_layers: int = 6
    num_heads: int = 4
    hidden_features: int = 1024
    dropout: float = 0.1
    tie_weights: bool = False
    weight_decay: float = 0.1
    warmup_updates: int = 50
    decay_updates: int = 5000
    last_rate_share: float = 0.1

    def __post_init__(self) -> None:
        if min(self.context, self.features, self.num_layers, self.num_heads, self.hidden_features) < 1:
            raise ValueError("context, features, num_layers, num_heads and hidden_features are at least 1")
        if self.vocabulary_size < 2:
            raise ValueError(f"vocabulary_size is at least 2, not {self.vocabulary_size}")
        if self.features % self.num_heads:
            raise ValueError(f"features ({self.features}) is no multiple of num_heads ({self.num_heads})")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout is at least 0 and below 1, not {self.dropout:g}")
        if self.weight_decay < 0.0:
            raise ValueError(f"weight_decay is not negative, {self.weight_decay:g} is")
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
        return Hyperparameters(learning_rate_g=0.001, beta2=0.95)

    @property
    def view(self) -> View:
        return View(context=self.context)

    def misfit(self, dataset: Dataset) -> str | None:
        return vocabulary_misfit(dataset, self.vocabulary_size)

    def groups(self) -> tuple[Group, ...]:
        parameters = dict(self._bare_module().named_parameters())
        return (
            Group(
                name="model",
                parameters=tuple(parameters),
                weight_decay=self.weight_decay,
                spared=frozenset(
                    name for name, value in parameters.items() if value.dim() < 2 or name.startswith("embedding")
                ),
                schedule=self._schedule,
            ),
        )

    def _module(self) -> nn.Module:
        return _Network(self)

    def _fill(self, module: nn.Module, generator: torch.Generator) -> None:
        # Each block adds twice to the stream; without the factor its variance would grow with the depth.
        damped = 0.02 * (2 * self.num_layers) ** -0.5
        for name, parameter in module.named_parameters():
            if parameter.dim() >= 2:
                std = damped if name.endswith(("attention.project.weight", "contract.weight")) else 0.02
                parameter.normal_(std=std, generator=generator)
            else:
                parameter.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)

    def _open(self, module: nn.Module, device: str) -> PredictingModel:
        return PredictingModel(module, device, context=self.context)


class _Network(nn.Module):
    def __init__(self, options: SmallTransformer) -> None:
        super().__init__()
        self.embedding = bare_embedding(options.vocabulary_size, options.features)
        self.embedding_of_places = bare_embedding(options.context, options.features)
        self.dropout = SampleDropout(options.dropout, stream=0)
        self.blocks = nn.ModuleList(_Block(options, number) for number in range(options.num_layers))
        self.norm = nn.LayerNorm(options.features)
        self.head = nn.Linear(options.features, options.vocabulary_size, bias=False)
        if options.tie_weights:
            self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        places = self.embedding_of_places.weight[: tokens.shape[1]]
        stream = self.dropout(self.embedding(tokens) + places)
        for block in self.blocks:
            stream = block(stream)
        scores: Tensor = self.head(self.norm(stream))
        return scores


class _Block(nn.Module):
    def __init__(self, options: SmallTransformer, number: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(options.features)
        self.attention = _Attention(options)
        self.attention_dropout = SampleDropout(options.dropout, stream=2 * number + 1)
        self.norm = nn.LayerNorm(options.features)
        self.expand = nn.Linear(options.features, options.hidden_features)
        self.contract = nn.Linear(options.hidden_features, options.features)
        self.dropout = SampleDropout(options.dropout, stream=2 * number + 2)

    def forward(self, stream: Tensor) -> Tensor:
        stream = stream + self.attention_dropout(self.attention(self.attention_norm(stream)))
        hidden = functional.gelu(self.expand(self.norm(stream)))
        changed: Tensor = stream + self.dropout(self.contract(hidden))
        return changed


class _Attention(nn.Module):
    def __init__(self, options: SmallTransformer) -> None:
        super().__init__()
        self.num_heads = options.num_heads
        self.queries_keys_values = nn.Linear(options.features, 3 * options.features)
        self.project = nn.Linear(options.features, options.features)

    def forward(self, stream: Tensor) -> Tensor:
        samples, length, features = stream.shape
        split = self.queries_keys_values(stream).view(samples, length, 3, self.num_heads, features // self.num_heads)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        projected: Tensor = self.project(mixed.transpose(1, 2).reshape(samples, length, features))
        return projected
