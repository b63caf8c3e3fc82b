from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor

from coordinator.aggregators.base import Contribution


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """The mean, weighted by samples and freshness: one look at each gradient, and no protection from a hostile one."""

    name: ClassVar[str] = "mean"

    def problem(self, num_gradients: int) -> str | None:
        return None if num_gradients >= 1 else "mean needs n >= 1 gradients"

    def aggregate(self, contributions: Sequence[Contribution], totals: Mapping[str, Tensor]) -> list[float]:
        whole = math.fsum(contribution.weight for contribution in contributions)
        shares = [contribution.weight / whole for contribution in contributions]
        for total in totals.values():
            total.zero_()
        # One gradient after another, because a gradient may lie elsewhere and is read from its front to its end.
        for contribution, share in zip(contributions, shares, strict=True):
            for name, total in totals.items():
                contribution.add_to(name, total, weight=share)
        return shares
