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
    """Places, the best first; of two with the same score who is nearer to all others."""
    scores = []
    for place, vector in enumerate(x):
        others = sorted(float(((vector - other) ** 2).sum()) for at, other in enumerate(x) if at != place)
        scores.append((math.fsum(others[: max(1, len(x) - f - 2)]), math.fsum(others)))
    return sorted(range(len(x)), key=lambda place: (scores[place], place))


def krum(x: Matrix, p: Matrix, f: int, centre: Matrix) -> Matrix:
    return np.asarray(x[krum_order(x, f)[0]])


def multi_krum(x: Matrix, p: Matrix, f: int, centre: Matrix) -> Matrix:
    chosen = krum_order(x, f)[: len(x) - f]
    return mean(x[chosen], p[chosen], f, centre)


def meamed(x: Matrix, p: Matrix, f: int, centre: Matrix) -> Matrix:
    return nearest_the_median(x, len(x) - f)


def nearest_the_median(x: Matrix, kept: int) -> Matrix:
    """Of two equally near values the smaller."""
    found = []
    for column in x.T:
        middle = float(np.median(column))
        near = sorted(column.tolist(), key=lambda value, middle=middle: (abs(value - middle), value))
        found.append(math.fsum(near[:kept]) / kept)
    return np.array(found)


def bulyan(x: Matrix, p: Matrix, f: int, centre: Matrix) -> Matrix:
    left = list(range(len(x)))
    chosen = [left.pop(krum_order(x[left], f)[0]) for _ in range(len(x) - 2 * f)]
    return nearest_the_median(x[chosen], len(x) - 4 * f)


def geometric_median(x: Matrix, p: Matrix, f: int, centre: Matrix) -> Matrix:
    """With the smoothing far below what a test can see, from the median of each coordinate."""
    scale = float(np.median(np.abs(x))) or 1.0
    point = np.median(x, axis=0)
    for _ in range(3_000):
        distances = np.sqrt(((x - point) ** 2).sum(1))
        shares = p / np.maximum(1e-9 * scale, distances)
        point = (shares[:, None] * x).sum(0) / shares.sum()
    return np.asarray(point)


def centered_clip(x: Matrix, p: Matrix, f: int, centre: Matrix) -> Matrix:
    differences = x - centre
    lengths = np.sqrt((differences**2).sum(1))
    return np.asarray(centre + shortened(differences, lengths, float(np.median(lengths))).mean(0))


def caf(x: Matrix, p: Matrix, f: int, centre: Matrix) -> Matrix:
    counts = np.ones(len(x))
    least, found = math.inf, x.mean(0)
    while counts.sum() > len(x) - 2 * f:
        average = (counts[:, None] * x).sum(0) / counts.sum()
        around = x - average
        _, sizes, directions = np.linalg.svd(np.sqrt(counts / counts.sum())[:, None] * around)
        if sizes[0] ** 2 < least:
            least, found = sizes[0] ** 2, average
        far = (around @ directions[0]) ** 2
        farthest = far[counts > 0].max()
        if farthest == 0.0:
            break
        counts = np.where(counts > 0, counts * (1.0 - far / farthest), 0.0)
    return np.asarray(found)


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
    "meamed": meamed,
    "bulyan": bulyan,
    "geometric_median": geometric_median,
    "centered_clip": centered_clip,
    "caf": caf,
}

BEFORE: Mapping[str, Callable[[Matrix, int], Matrix]] = {"nnm": nnm, "arc": arc, "clip": clip}
