from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import Tensor

from tests.attacks.base import Attack, Seen, scaled


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InnerProduct(Attack):
    """Inner-product manipulation (Xie and others, 2020): minus `epsilon` times the mean of the honest gradients.

    Above (n - f) / f the mean of all turns round and climbs; a small one only takes length away, and lies among the
    honest ones.
    """

    name: ClassVar[str] = "inner_product"
    epsilon: float = 5.0

    def forge(self, seen: Seen) -> dict[str, Tensor]:
        return scaled(seen.mean(), -self.epsilon)
