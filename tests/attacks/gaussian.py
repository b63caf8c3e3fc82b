from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from tests.attacks.base import Attack, Seen


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gaussian(Attack):
    """Noise of this standard deviation, much larger than any gradient."""

    name: ClassVar[str] = "gaussian"
    deviation: float = 1.0

    def forge(self, seen: Seen) -> dict[str, Tensor]:
        generator = seen.noise()
        return {
            name: torch.empty_like(tensor).normal_(std=self.deviation, generator=generator)
            for name, tensor in seen.own.items()
        }
