from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from tests.attacks.base import Attack, Seen, copied


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NotANumber(Attack):
    """The own gradient with a single NaN somewhere: whatever adds it up has no number left."""

    name: ClassVar[str] = "nan"
    is_refused: ClassVar[bool] = True

    def forge(self, seen: Seen) -> dict[str, Tensor]:
        forged = copied(seen.own)
        largest = max(forged.values(), key=torch.Tensor.numel).view(-1)
        largest[torch.randint(largest.numel(), (), generator=seen.noise())] = math.nan
        return forged
