"""How a gradient loses weight with its staleness.

A rule promises a share between 0 and 1: whole for a fresh gradient, never more for a later one, and the same for the
same numbers. A share of 0 says that the gradient is not worth merging.
"""

from __future__ import annotations

from typing import ClassVar, Protocol


class Decay(Protocol):
    name: ClassVar[str]

    def share(self, staleness: int, bound: int) -> float:
        """Of its weight; `staleness` counts versions, from 0 up to the `bound` beyond which a gradient is refused."""
        ...
