"""The randomness of a unit: numbers that depend on the unit's seed and the sample's place in it, on nothing else.

A counter-based generator gives every sample its own stretch of the stream. So dropout and latent vectors do not depend
on how a worker cuts its batches, on its device or on its operating system, and nobody's global generator is touched.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_KEY_MASK = (1 << 64) - 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """For `count` samples from place `first` of the unit. Every use has a stream number of its own."""

    seed: int
    first: int
    count: int

    def normal(self, stream: int, num_values: int) -> Tensor:
        """Standard normal, of shape (count, num_values)."""
        pairs = (num_values + 1) // 2
        values = normals(self._raw(stream, 2 * pairs)[:, : 2 * pairs])
        return torch.from_numpy(values[:, :num_values].astype(np.float32))

    def dropout(self, stream: int, num_values: int, probability: float) -> Tensor:
        """Of shape (count, num_values): 0 with this probability, else what keeps the mean."""
        sixteenths = self._raw(stream, (num_values + 3) // 4).view(np.uint16)[:, :num_values]
        kept = torch.from_numpy(sixteenths >= np.uint16(round(probability * 65536)))
        return kept.to(torch.float32).mul_(1.0 / (1.0 - probability))

    def _raw(self, stream: int, num_words: int) -> NDArray[np.uint64]:
        # A step of Philox' counter yields four words, so each sample has whole steps.
        steps = (num_words + 3) // 4
        key = np.array([self.seed & _KEY_MASK, stream], dtype=np.uint64)
        counter = np.array([self.first * steps, 0, 0, 0], dtype=np.uint64)
        words = np.random.Philox(key=key, counter=counter).random_raw(self.count * steps * 4)
        return words.reshape(self.count, steps * 4)


def normals(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """As many standard normal numbers as there are words in a row, which is an even number: Box and Muller's way,
    because it wastes none."""
    uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    pairs = words.shape[-1] // 2
    radius = np.sqrt(-2.0 * np.log(uniform[..., :pairs]))
    angle = 2.0 * math.pi * uniform[..., pairs:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)


class SampleDropout(nn.Module):
    """Dropout from a unit's noise, which whoever runs the model lays in `noise` before each batch."""

    def __init__(self, probability: float, stream: int) -> None:
        super().__init__()
        self.probability = probability
        self.stream = stream
        self.noise: Noise | None = None

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or self.probability == 0.0:
            return values
        assert self.noise is not None
        mask = self.noise.dropout(self.stream, math.prod(values.shape[1:]), self.probability)
        return values * mask.view(values.shape).to(values.device, non_blocking=True)
