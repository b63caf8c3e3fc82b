"""What gradients say of themselves, as one figure for each loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Told(Protocol):
    @property
    def losses(self) -> Mapping[str, float]: ...
    @property
    def num_samples(self) -> int: ...


def mean_losses(told: Sequence[Told]) -> dict[str, float]:
    """Weighted by samples; of those losses that everybody reports."""
    names = set.intersection(*(set(one.losses) for one in told))
    total = sum(one.num_samples for one in told)
    return {name: sum(one.losses[name] * one.num_samples for one in told) / total for name in sorted(names)}
