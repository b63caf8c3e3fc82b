from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from tests.attacks.base import Attack, Seen


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Zero(Attack):
    """Nothing at all, in the right form."""

    name: ClassVar[str] = "zero"

    def forge(self, seen: Seen) -> dict[str, Tensor]:
        return {name: torch.zeros_like(tensor) for name, tensor in seen.own.items()}
