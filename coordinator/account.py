"""What each sample has given away so far: the figures behind a private run's epsilon. Pure; it follows
from the units that were merged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contract.workloads.order import sample_indices
from contract.workloads.units import Unit
from coordinator.privacy import Privacy


class Account:
    """A sample that stands in k units of one update sways it k times as far, which costs k² times as much. That happens
    where one epoch ends and the next begins; otherwise each sample costs 1 in an epoch."""

    def __init__(self, privacy: Privacy, *, run_seed: int, num_samples: int) -> None:
        self._privacy = privacy
        self._run_seed = run_seed
        self._costs: NDArray[np.int64] = np.zeros(num_samples, dtype=np.int64)
        self._highest = 0

    @property
    def epsilon(self) -> float:
        """Of the sample that gave away most."""
        return self._privacy.epsilon(self._highest)

    def refusal(self, update: Sequence[Unit]) -> str | None:
        """Why this update must not be made, or None."""
        samples, costs = self._costs_of(update)
        epsilon = self._privacy.epsilon(max(self._highest, int((self._costs[samples] + costs).max())))
        if epsilon <= self._privacy.epsilon_budget:
            return None
        return (
            f"the privacy budget is spent: epsilon is {self.epsilon:.3f}, and the next update would make it "
            f"{epsilon:.3f}, more than privacy.epsilon_budget ({self._privacy.epsilon_budget:g})"
        )

    def spend(self, update: Sequence[Unit]) -> None:
        samples, costs = self._costs_of(update)
        self._costs[samples] += costs
        self._highest = max(self._highest, int(self._costs[samples].max()))

    def _costs_of(self, update: Sequence[Unit]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        used = [
            sample_indices(
                run_seed=self._run_seed,
                epoch=one.epoch,
                first=one.first_sample,
                count=one.num_samples,
                num_samples=len(self._costs),
            )
            for one in update
        ]
        samples, times = np.unique(np.concatenate(used), return_counts=True)
        return samples, times.astype(np.int64) ** 2
