"""What a private run promises, and the noise that keeps the promise. docs/explanation/privacy.md has the reasoning."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from contract.errors import MissingExtra
from contract.workloads.noise import normals

# So much noise is drawn at a time.
_CHUNK_VALUES: Final = 1 << 16
# Another content of a unit may turn its clipped update into the opposite: twice the clip norm lies between.
_SENSITIVITY: Final = 2.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Privacy:
    clip_norm: float
    noise_multiplier: float
    delta: float
    epsilon_budget: float

    @classmethod
    def of(cls, training: Mapping[str, Any]) -> Privacy | None:
        settings = training["privacy"]
        return None if settings is None else cls(**settings)

    def epsilon(self, cost: int) -> float:
        """Of a sample with this cost, the sum of its squared numbers of appearances in each update. All of them
        together are as one Gaussian mechanism with less noise, so the figure is exact and not a bound."""
        if cost == 0:
            return 0.0
        epsilon: float = _accounting().get_epsilon_gaussian(
            self.noise_multiplier / (_SENSITIVITY * math.sqrt(cost)), self.delta
        )
        return epsilon

    def needed_multiplier(self) -> float:
        """The least with which an update of each sample is within the budget."""
        sigma: float = _accounting().get_sigma_gaussian(self.epsilon_budget, self.delta)
        return _SENSITIVITY * sigma

    def blur(
        self, totals: Mapping[str, Tensor], *, num_gradients: int, draw: Callable[[int], bytes] = os.urandom
    ) -> None:
        """The mean of so many updates, flat, with noise. It comes from the operating system's own generator: the state
        of another could be guessed from what it gave, and with it the noise be taken off again."""
        deviation = self.noise_multiplier * self.clip_norm / num_gradients
        for total in totals.values():
            for values in torch.split(total, _CHUNK_VALUES):
                num_words = 2 * ((values.numel() + 1) // 2)
                drawn = normals(np.frombuffer(draw(8 * num_words), dtype=np.uint64))[: values.numel()]
                values.add_(torch.from_numpy((drawn * deviation).astype(np.float32)))


def require_accounting() -> None:
    _accounting()


def _accounting() -> Any:
    # Most of a second, and only private runs have it.
    try:
        import dp_accounting
    except ImportError:
        raise MissingExtra(
            "privacy.enabled needs dp-accounting, which says how much a model reveals", extra="privacy"
        ) from None
    return dp_accounting
