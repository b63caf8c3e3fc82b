"""The next token: what `tiny_lstm` and `small_transformer` share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from contract.sources.base import Batch, Dataset
from contract.workloads.batches import num_samples_of
from contract.workloads.opened import LossModel

# exp() of more would overflow; no model worth its name is this surprised by a token.
_WORST_LOSS = 700.0


class PredictingModel(LossModel):
    def __init__(self, module: nn.Module, device: str, *, context: int) -> None:
        super().__init__(module, device)
        self._context = context

    @torch.no_grad()
    def next_scores(self, tokens: Sequence[int]) -> Tensor:
        """Of each token as the one that follows; of what came before, the model sees as much as it learnt with."""
        self.module.eval()
        try:
            seen = torch.tensor([tokens[-self._context :]], device=self.device)
            scores: Tensor = self.module(seen)[0, -1].to("cpu", torch.float32)
        finally:
            self.module.train()
        return scores

    def _loss(self, batch: Batch) -> Tensor:
        tokens = _tokens(batch).to(self.device)
        # All samples are equally long, so the mean over tokens is the mean over samples.
        scores = self.module(tokens[:, :-1])
        return functional.cross_entropy(scores.flatten(0, 1), tokens[:, 1:].flatten())

    def _metrics(self, batches: Iterator[Batch], num_samples: int, seed: int) -> dict[str, float]:
        total = sum(self._loss(batch).item() * num_samples_of(batch) for batch in batches)
        loss = total / num_samples
        return {"loss": loss, "perplexity": math.exp(min(loss, _WORST_LOSS))}


def vocabulary_misfit(dataset: Dataset, vocabulary_size: int) -> str | None:
    if dataset.vocabulary_size is None:
        return "needs text, and this data is none"
    if dataset.vocabulary_size > vocabulary_size:
        return (
            f"knows {vocabulary_size} tokens, the data has {dataset.vocabulary_size}; set model.options.vocabulary_size"
        )
    return None


def _tokens(batch: Batch) -> Tensor:
    assert batch.tokens is not None
    return batch.tokens
