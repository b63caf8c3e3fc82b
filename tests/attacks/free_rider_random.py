from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from tests.attacks.base import Attack, Seen


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FreeRiderRandom(Attack):
    """Computes once, and uploads noise of that gradient's size ever after: each tensor with its own mean and standard
    deviation, so that no sum betrays it."""

    name: ClassVar[str] = "free_rider_random"

    def forge(self, seen: Seen) -> dict[str, Tensor]:
        generator = seen.noise()
        return {
            name: torch.empty_like(tensor)
            .normal_(generator=generator)
            .mul_(tensor.std(correction=0))
            .add_(tensor.mean())
            for name, tensor in seen.first.items()
        }
