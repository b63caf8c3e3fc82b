"""The rules from their definitions, in float64 and with no thought of speed: how exact are the fast ones?

Of the distances all coordinates are needed, of the aggregate a sample of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_COLUMNS_AT_A_TIME: Final = 1 << 17
_WEISZFELD_STEPS: Final = 10_000


class Reference:
    """`sample` holds the sampled coordinates of all gradients."""

    def __init__(self, rows: Sequence[NDArray[np.float32]], *, num_byzantine: int, every: int) -> None:
        self.n = len(rows)
        self.f = num_byzantine
        self.sample: Array = np.stack([row[::every] for row in rows]).astype(float)
        self._products = np.zeros((self.n + 1, self.n + 1))
        for start in range(0, len(rows[0]), _COLUMNS_AT_A_TIME):
            chunk = np.stack([row[start : start + _COLUMNS_AT_A_TIME] for row in rows]).astype(float)
            # Seen from their middle, so that small distances are not differences of large numbers; zero is seen too.
            chunk = np.concatenate([chunk, np.zeros((1, chunk.shape[1]))]) - chunk.mean(0)
            self._products += chunk @ chunk.T
        squares = np.diag(self._products)
        self.distances: Array = np.sqrt(np.maximum(squares[:, None] + squares[None, :] - 2 * self._products, 0.0))

    def aggregate(self, rule: str) -> Array:
        weighting: dict[str, Callable[[], Array]] = {
            "mean": lambda: np.full(self.n, 1 / self.n),
            "krum": lambda: self._best_of(1),
            "multi_krum": lambda: self._best_of(self.n - self.f),
            "geometric_median": self._geometric_median,
            "centered_clip": self._centered_clip,
            "caf": self._caf,
        }
        if rule in weighting:
            return weighting[rule]() @ self.sample
        before, _, last = rule.rpartition(", ")
        values = self._nnm() @ self.sample if before == "nnm" else self.sample
        folding: dict[str, Callable[[], Array]] = {
            "mean": lambda: values.mean(0),
            "median": lambda: np.median(values, axis=0),
            "trimmed_mean": lambda: np.sort(values, axis=0)[self.f : self.n - self.f].mean(0),
            "meamed": lambda: _nearest_the_median(values, self.n - self.f),
            "bulyan": lambda: _nearest_the_median(values[self._bulyan()], self.n - 4 * self.f),
        }
        return folding[last]()

    def _scores(self, among: list[int], num_near: int) -> Array:
        squares = np.sort(self.distances[np.ix_(among, among)] ** 2, axis=1)
        return np.asarray(squares[:, 1 : 1 + num_near].sum(1))

    def _best_of(self, number: int) -> Array:
        chosen = np.argsort(self._scores(list(range(self.n)), self.n - self.f - 2))[:number]
        return np.isin(np.arange(self.n), chosen) / number

    def _bulyan(self) -> list[int]:
        left = list(range(self.n))

        def best_left() -> int:
            return left.pop(int(np.argmin(self._scores(left, max(1, len(left) - self.f - 2)))))

        return [best_left() for _ in range(self.n - 2 * self.f)]

    def _nnm(self) -> Array:
        near = np.argsort(self.distances[: self.n, : self.n], axis=1)[:, : self.n - self.f]
        return np.stack([np.isin(np.arange(self.n), row) for row in near]) / (self.n - self.f)

    def _geometric_median(self) -> Array:
        products = self._products[: self.n, : self.n]
        shares = np.full(self.n, 1 / self.n)
        for _ in range(_WEISZFELD_STEPS):
            squares = shares @ products @ shares - 2 * products @ shares + np.diag(products)
            shares = 1 / np.sqrt(squares)
            shares /= shares.sum()
        return np.asarray(shares)

    def _centered_clip(self) -> Array:
        """One step from zero."""
        lengths = self.distances[: self.n, self.n]
        return np.asarray(np.minimum(1.0, np.median(lengths) / lengths) / self.n)

    def _caf(self) -> Array:
        products = self._products[: self.n, : self.n]
        weights, best, smallest = np.ones(self.n), np.zeros(self.n), np.inf
        while weights.sum() > self.n - 2 * self.f:
            shares = weights / weights.sum()
            # Products of the gradients less their weighted mean.
            moved = np.eye(self.n) - shares[None, :]
            deviations = moved @ products @ moved.T
            roots = np.sqrt(shares)
            values, vectors = np.linalg.eigh(roots[:, None] * deviations * roots[None, :])
            if values[-1] < smallest:
                smallest, best = values[-1], shares
            # The direction is a sum of the deviations; their projections on it, up to a factor for all:
            projections = (deviations @ (roots * vectors[:, -1])) ** 2
            weights = weights * (1 - projections / projections.max())
        return best


def _nearest_the_median(values: Array, kept: int) -> Array:
    order = np.argsort(np.abs(values - np.median(values, axis=0)), axis=0, kind="stable")[:kept]
    return np.asarray(np.take_along_axis(values, order, axis=0).mean(0))
