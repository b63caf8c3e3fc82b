"""Which samples a unit is. Both sides must agree on it, or a unit could not be recomputed."""

from __future__ import annotations

import dataclasses

from contract.sources.base import Batch, Dataset
from contract.workloads.order import sample_indices


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A range of an epoch's order, and the seed of its noise."""

    epoch: int
    first_sample: int
    num_samples: int
    seed: int

    def samples(self, dataset: Dataset, *, run_seed: int) -> Batch:
        """All of them at once: they are small beside a model, and any batch is then a slice."""
        indices = sample_indices(
            run_seed=run_seed,
            epoch=self.epoch,
            first=self.first_sample,
            count=self.num_samples,
            num_samples=dataset.num_samples,
        )
        return dataset.batch(indices.tolist())
