from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

from coordinator.aggregators.base import Combination, Contribution, WeightedSum


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """The mean, weighted by samples and freshness: one look at each gradient, and no protection from a hostile one."""

    name: ClassVar[str] = "mean"

    def problem(self, num_gradients: int) -> str | None:
        return None if num_gradients >= 1 else "mean needs n >= 1 gradients"

    def combine(self, contributions: Sequence[Contribution], sizes: Mapping[str, int]) -> Combination:
        whole = math.fsum(contribution.weight for contribution in contributions)
        return WeightedSum(
            contributions=contributions, shares=[contribution.weight / whole for contribution in contributions]
        )
