from __future__ import annotations

import dataclasses
import statistics
from typing import ClassVar

from torch import Tensor

from tests.attacks.base import Attack, Seen


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LittleIsEnough(Attack):
    """A little is enough (Baruch and others, 2019): every coordinate as far from the honest mean as can be without
    standing out, `z` standard deviations. Unset, z follows from n and f: as many honest gradients lie further out as
    the colluders lack to a majority."""

    name: ClassVar[str] = "little_is_enough"
    z: float | None = None

    def forge(self, seen: Seen) -> dict[str, Tensor]:
        z = largest_unseen(seen.num_gradients, seen.num_byzantine) if self.z is None else self.z
        deviation = seen.deviation()
        return {name: mean - z * deviation[name] for name, mean in seen.mean().items()}


def largest_unseen(num_gradients: int, num_byzantine: int) -> float:
    """z of the paper: the normal quantile of (n - f - s) / (n - f), where s honest supporters make a majority."""
    num_honest = num_gradients - num_byzantine
    supporters = num_gradients // 2 + 1 - num_byzantine
    share = (num_honest - supporters) / num_honest
    # Colluders who are the majority already need nobody, and those who need everybody can hide nowhere.
    return statistics.NormalDist().inv_cdf(min(0.999, share)) if share > 0.0 else 0.0
