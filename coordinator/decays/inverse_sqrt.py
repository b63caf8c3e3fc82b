from __future__ import annotations

import dataclasses
from typing import ClassVar


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InverseSqrt:
    """(1 + t)^-1/2: gentle, and without a number to choose."""

    name: ClassVar[str] = "inverse_sqrt"

    def share(self, staleness: int, bound: int) -> float:
        return float((1 + staleness) ** -0.5)
