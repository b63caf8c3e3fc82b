"""The vectors of one group, one under another, none of them in memory: what a rule decides upon."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from coordinator.aggregators.base import Centre, Combination, Contribution
from coordinator.aggregators.chunks import Layout
from coordinator.aggregators.folding import Fold, Folded
from coordinator.aggregators.gram import distances_to, gram_of, product

# So many values of all vectors together are looked at at a time: 4 MB as they are read, 8 as float64. They stay in a
# processor's last cache, and the memory does not grow with the number of gradients.
VALUES_AT_A_TIME: Final = 1 << 20


@dataclasses.dataclass(slots=True, kw_only=True)
class Stack:
    """`mixing` says which weighted sums of the contributions the vectors are; None where they are themselves.

    `weights` are the vectors' p. `centre` is where the aggregates were so far, None where a group has no memory.
    """

    contributions: Sequence[Contribution]
    sizes: Mapping[str, int]
    weights: Sequence[float]
    centre: Centre | None = None
    mixing: Tensor | None = None
    values_at_a_time: int = VALUES_AT_A_TIME
    is_compiled: bool = False
    _gram: Tensor | None = None

    @classmethod
    def of(
        cls,
        contributions: Sequence[Contribution],
        sizes: Mapping[str, int],
        *,
        centre: Centre | None = None,
        values_at_a_time: int = VALUES_AT_A_TIME,
        is_compiled: bool = False,
    ) -> Stack:
        return cls(
            contributions=contributions,
            sizes=sizes,
            weights=[contribution.weight for contribution in contributions],
            centre=centre,
            values_at_a_time=values_at_a_time,
            is_compiled=is_compiled,
        )

    def __len__(self) -> int:
        return len(self.weights)

    def gram(self) -> Tensor:
        """All inner products of the vectors, n x n in float64. Read once, remembered for the next who asks."""
        if self._gram is None:
            self._gram = self._gram_of_contributions()
        return self._mixed(self._gram, self.mixing)

    def gram_with_centre(self) -> Tensor:
        """The same with the centre as the last of n + 1 vectors; without a memory it is zero."""
        if self.centre is None:
            return torch.nn.functional.pad(self.gram(), (0, 1, 0, 1))
        whole = gram_of(self.contributions, self._layout(len(self.contributions) + 1), centre=self.centre)
        if self.mixing is None:
            return whole
        rows, columns = self.mixing.shape
        mixing = torch.zeros(rows + 1, columns + 1, dtype=torch.float64)
        mixing[:rows, :columns] = self.mixing
        mixing[rows, columns] = 1.0
        return self._mixed(whole, mixing)

    def distances_from_centre(self) -> Tensor:
        if self.is_compiled and self.mixing is None:
            from coordinator.aggregators.compiled import sums

            return sums.distances_from(self.contributions, self._long_layout(), self.centre)
        return distances_to(self.gram_with_centre(), [0.0] * len(self) + [1.0])[:-1]

    def mixed(self, mixing: Tensor, weights: Sequence[float]) -> Stack:
        """Other vectors: row i of `mixing` says which sum of these the i-th of them is."""
        whole = mixing if self.mixing is None else product(mixing, self.mixing)
        return dataclasses.replace(self, mixing=whole, weights=weights)

    def weighted(self, shares: Sequence[float], *, centre_share: float = 0.0) -> Combination:
        """The sum of the vectors, each times its share."""
        found = list(shares)
        if self.mixing is not None:
            found = (torch.tensor(found, dtype=torch.float64)[:, None] * self.mixing).sum(0).tolist()
        return WeightedSum(
            contributions=self.contributions,
            shares=found,
            centre=self.centre,
            centre_share=centre_share,
            length=self._long_layout().length,
            is_compiled=self.is_compiled,
        )

    def folded(self, fold: Fold, *, chosen: Sequence[int] | None = None) -> Combination:
        """Each coordinate by itself, over all vectors or those `chosen`."""
        rows = list(range(len(self))) if chosen is None else list(chosen)
        if self.mixing is None:
            contributions, mixing = [self.contributions[row] for row in rows], None
        else:
            contributions, mixing = list(self.contributions), self.mixing[rows]
        return Folded(
            fold=fold,
            contributions=contributions,
            mixing=mixing,
            places=rows if mixing is None else list(range(len(contributions))),
            num_gradients=len(self.contributions),
            length=self._layout(max(len(contributions), len(rows))).length,
            length_in_place=self._long_layout().length,
            is_compiled=self.is_compiled,
        )

    def _gram_of_contributions(self) -> Tensor:
        if self.is_compiled:
            from coordinator.aggregators.compiled import sums

            return sums.gram_of(self.contributions, self._long_layout())
        return gram_of(self.contributions, self._layout(len(self.contributions)))

    def _layout(self, num_vectors: int) -> Layout:
        return Layout.of(self.sizes, num_vectors=num_vectors, values_at_a_time=self.values_at_a_time)

    def _long_layout(self) -> Layout:
        """Machine code keeps its own tiles in a cache. What is in memory takes none; what a database hands out does."""
        return self._layout(max(4, len(self.contributions) // 2))

    @staticmethod
    def _mixed(gram: Tensor, mixing: Tensor | None) -> Tensor:
        return gram if mixing is None else product(product(mixing, gram), mixing.T)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WeightedSum:
    """For every rule that comes down to a weight for each contribution."""

    contributions: Sequence[Contribution]
    shares: Sequence[float]
    length: int
    centre: Centre | None = None
    centre_share: float = 0.0
    is_compiled: bool = False

    def fill(self, totals: Mapping[str, Tensor]) -> None:
        # Whoever has no share is not read again.
        taken = [(one, share) for one, share in zip(self.contributions, self.shares, strict=True) if share]
        together = [name for name in sorted(totals) if self.is_compiled and taken and _lie_in_place(taken, name)]
        for name in together:
            self._add_together(taken, name, totals[name])
        apart = [name for name in totals if name not in together]
        for name in apart:
            self._begin(name, totals[name])
        # One gradient after another: it may lie in a database, and is read there from front to end.
        for contribution, share in taken:
            for name in apart:
                contribution.add_to(name, totals[name], weight=share)

    @property
    def _begins_at_zero(self) -> bool:
        return self.centre is None or not self.centre_share

    def _begin(self, name: str, total: Tensor) -> None:
        if self.centre is None or self._begins_at_zero:
            total.zero_()
        else:
            torch.mul(self.centre.tensors[name], self.centre.factor * self.centre_share, out=total)

    def _add_together(self, taken: Sequence[tuple[Contribution, float]], name: str, total: Tensor) -> None:
        from coordinator.aggregators.compiled import sums

        if not self._begins_at_zero:
            self._begin(name, total)
        contributions, shares = zip(*taken, strict=True)
        layout = Layout(sizes={name: total.numel()}, length=self.length)
        sums.add_weighted(contributions, shares, layout, total, begins=self._begins_at_zero)


def _lie_in_place(taken: Sequence[tuple[Contribution, float]], name: str) -> bool:
    return all(contribution.decoder.in_place(name, 0, 0) is not None for contribution, _ in taken)
