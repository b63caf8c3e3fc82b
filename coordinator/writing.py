"""Text from a model that predicts the next token: which of them it takes, one after another. Pure."""

from __future__ import annotations

import codecs
import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor

from contract.workloads.base import PredictiveModel

# Where there is no prompt: a line ends, and something begins.
_BEGINNING = "\n"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Taste:
    """Temperature 0 always takes the likeliest. `top_k` and `top_p` leave out the unlikely: all but so many, all but
    those that come to this probability together."""

    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None

    def choose(self, scores: Tensor, generator: torch.Generator) -> int:
        if self.temperature == 0.0:
            return int(scores.argmax())
        # In double precision and in the order of their scores, so that a share of 1.0 leaves nobody out.
        ordered, tokens = torch.sort(scores.to(torch.float64) / self.temperature, descending=True, stable=True)
        shares = torch.softmax(ordered, dim=0)
        if self.top_k is not None:
            shares[self.top_k :] = 0.0
        if self.top_p is not None:
            # The one that reaches the sum is still in.
            shares[1:][shares.cumsum(0)[:-1] >= self.top_p] = 0.0
        return int(tokens[torch.multinomial(shares, 1, generator=generator)])


def written(model: PredictiveModel, prompt: str, *, num_tokens: int, taste: Taste, seed: int) -> Iterator[str]:
    """Piece by piece; a letter of several bytes comes when it is whole."""
    generator = torch.Generator().manual_seed(seed)
    tokens = list((prompt or _BEGINNING).encode())
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for _ in range(num_tokens):
        token = taste.choose(model.next_scores(tokens), generator)
        tokens.append(token)
        # Of a larger vocabulary than a byte's, whatever no data of ours ever holds.
        piece = decoder.decode(bytes([token])) if token < 256 else "\N{REPLACEMENT CHARACTER}"
        if piece:
            yield piece
    if rest := decoder.decode(b"", final=True):
        yield rest
