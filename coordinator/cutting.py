"""How epochs are cut into units. Pure: the n-th unit of a run follows from these numbers alone."""

from __future__ import annotations

import dataclasses

from contract.workloads.order import unit_seed
from contract.workloads.units import Unit


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cutting:
    run_seed: int
    num_samples: int
    unit_samples: int

    @property
    def units_per_epoch(self) -> int:
        return -(-self.num_samples // self.unit_samples)

    def number(self, *, epoch: int, first_sample: int) -> int:
        return epoch * self.units_per_epoch + first_sample // self.unit_samples

    def unit(self, number: int) -> Unit:
        """The last of an epoch is as much shorter as the epoch is."""
        epoch, place = divmod(number, self.units_per_epoch)
        first = place * self.unit_samples
        return Unit(
            epoch=epoch,
            first_sample=first,
            num_samples=min(self.unit_samples, self.num_samples - first),
            seed=unit_seed(run_seed=self.run_seed, epoch=epoch, first_sample=first),
        )
