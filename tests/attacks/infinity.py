from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from tests.attacks.base import Attack, Seen


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Infinity(Attack):
    """Infinite in every coordinate."""

    name: ClassVar[str] = "infinity"
    is_refused: ClassVar[bool] = True

    def forge(self, seen: Seen) -> dict[str, Tensor]:
        return {name: torch.full_like(tensor, math.inf) for name, tensor in seen.own.items()}
