"""The rules once more, from their definitions alone: whole float64 matrices, plain loops, as slow as they please.

Each takes the vectors (a row each), their weights p, f, and the centre. Of equals the first counts first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Reference = Callable[[Matrix, Matrix, int, Matrix], Matrix]


def mean(x: Matrix, p: Matrix, f: int, centre: Matrix) -> Matrix:
    return np.asarray((p[:, None] * x).sum(0) / p.sum())


def median(x: Matrix, p: Matrix, f: int, centre: Matrix) -> Matrix:
    return np.asarray(np.median(x, axis=0))


def trimmed_mean(x: Matrix, p: Matrix, f: int, centre: Matrix) -> Matrix:
    dropped = max(f, math.ceil(len(x) / 5))
    return np.asarray(np.sort(x, axis=0)[dropped : len(x) - dropped].mean(0))


def krum_order(x: Matrix, f: int) -> list[int]:
    """Places, the best first."""
    scores = []
    for place, vector in enumerate(x):
        others = sorted(float(((vector - other) ** 2).sum()) for at, other in enumerate(x) if at != place)
        scores.append(math.fsum(others[: max(1, len(x) - f - 2)]))
    return sorted(range(len(x)), key=lambda place: (scores[place], place))


def krum(x: Matrix, p: Matrix, f: int, centre: Matrix) -> Matrix:
    return np.asarray(x[krum_order(x, f)[0]])


def multi_krum(x: Matrix, p: Matrix, f: int, centre: Matrix) -> Matrix:
    chosen = krum_order(x, f)[: len(x) - f]
    return mean(x[chosen], p[chosen], f, centre)


def nnm(x: Matrix, f: int) -> Matrix:
    mixed = []
    for place, vector in enumerate(x):
        distances = [((vector - other) ** 2).sum() if at != place else -1.0 for at, other in enumerate(x)]
        nearest = sorted(range(len(x)), key=lambda at, row=distances: (row[at], at))[: len(x) - f]
        mixed.append(x[nearest].mean(0))
    return np.array(mixed)


def arc(x: Matrix, f: int) -> Matrix:
    n = len(x)
    lengths = np.sqrt((x**2).sum(1))
    limit = np.sort(lengths)[::-1][math.floor(2 * f / n * (n - f))]
    return shortened(x, lengths, float(limit))


def clip(x: Matrix, f: int) -> Matrix:
    lengths = np.sqrt((x**2).sum(1))
    return shortened(x, lengths, float(np.median(lengths)))


def shortened(x: Matrix, lengths: Matrix, limit: float) -> Matrix:
    factors = [min(1.0, limit / length) if length else 1.0 for length in lengths]
    return np.array(factors)[:, None] * x


REFERENCES: Mapping[str, Reference] = {
    "mean": mean,
    "median": median,
    "trimmed_mean": trimmed_mean,
    "krum": krum,
    "multi_krum": multi_krum,
}

BEFORE: Mapping[str, Callable[[Matrix, int], Matrix]] = {"nnm": nnm, "arc": arc, "clip": clip}
