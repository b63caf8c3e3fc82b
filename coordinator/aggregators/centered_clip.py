from __future__ import annotations

import dataclasses
import math
import statistics
from typing import ClassVar

from contract.config.fields import Count, CountOrZero, Positive
from coordinator.aggregators.base import Combination, too_few
from coordinator.aggregators.gram import distances_to
from coordinator.aggregators.stack import Stack


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CenteredClip:
    """The last aggregates' centre, moved by the mean of the gradients' differences from it, of which none counts for
    longer than `tau`; unless that is given, than their median length. Every gradient has one vote."""

    name: ClassVar[str] = "centered_clip"
    by_coordinate: ClassVar[bool] = False
    num_byzantine: CountOrZero = 0
    tau: Positive | None = None
    iterations: Count = 1

    def problem(self, num_gradients: int) -> str | None:
        return too_few(self.name, "n > 2f", least=2 * self.num_byzantine + 1, num_gradients=num_gradients)

    def combine(self, stack: Stack) -> Combination:
        n = len(stack)
        # All inner products are only needed to go on from the first point.
        gram = stack.gram_with_centre() if self.iterations > 1 else None
        # The point is a weighted sum of the gradients and, last, of the centre where it begins.
        point = [0.0] * n + [1.0]
        for _ in range(self.iterations):
            far = stack.distances_from_centre() if gram is None else distances_to(gram, point)[:n]
            lengths = far.tolist()
            tau = self.tau or statistics.median(lengths)
            kept = [min(1.0, tau / length) if length else 1.0 for length in lengths]
            stays = 1.0 - math.fsum(kept) / n
            point = [share * stays + own / n for share, own in zip(point, [*kept, 0.0], strict=True)]
        return stack.weighted(point[:n], centre_share=point[n])
