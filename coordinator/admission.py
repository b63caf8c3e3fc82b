"""May this gradient be used, and with which weight? What is asked here comes before any rule: a single NaN would pass
through the mean, and through many a robust rule besides."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import torch

from contract.compressors import Decoder
from contract.compressors.base import CHUNK_VALUES
from contract.ids import GradientId
from coordinator.aggregators import Contribution
from coordinator.vectors import Vectors


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A gradient with its say: a weight, and per group of parameters what clipping leaves of it. `place` orders the
    gradients of an update; it decides the last bits of a sum, and must not depend on who came first."""

    gradient: GradientId
    place: int
    decoder: Decoder
    weight: float
    factors: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def contribution(self, group: str) -> Contribution:
        return Contribution(
            gradient=self.gradient, weight=self.weight, decoder=self.decoder, factor=self.factors.get(group, 1.0)
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    gradient: GradientId
    verdict: str


def norms(decoder: Decoder, vectors: Vectors) -> dict[str, float]:
    """Euclidean, of each group; infinite or NaN where a value is. Squares of float32 do not overflow in float64."""
    found = {}
    for group, sizes in vectors.sizes.items():
        total = 0.0
        for name, size in sizes.items():
            for start in range(0, size, CHUNK_VALUES):
                values = decoder.read(name, start, min(start + CHUNK_VALUES, size))
                total += float(torch.linalg.vector_norm(values, dtype=torch.float64)) ** 2
        found[group] = math.sqrt(total) if math.isfinite(total) else total
    return found


def below_zero(decoder: Decoder, vectors: Vectors) -> list[str]:
    """The variances that are none. One gradient with such a buffer would spoil the mean of them all."""
    return [name for name in vectors.variances if bool((decoder.read(name, 0, vectors.num_values(name)) < 0.0).any())]


def admit(
    *,
    gradient: GradientId,
    decoder: Decoder,
    vectors: Vectors,
    num_samples: int,
    unit_samples: int,
    place: int | None = None,
    decay: float = 1.0,
    clip_norm: float | None = None,
    private_norm: float | None = None,
) -> Admitted | Refused:
    """Without a `place` the gradient's id is one. `decay` is what its staleness leaves of its weight. Buffers are
    values, not directions, and are never clipped.

    With a `private_norm` all groups together are clipped to it, and everybody has the same weight: nobody may sway the
    mean more than it says.
    """
    if not 0 < num_samples <= unit_samples:
        verdict = f"claims {num_samples} samples, its unit holds {unit_samples}"
        return Refused(gradient=gradient, verdict=verdict)
    found = norms(decoder, vectors)
    wild = [group for group, norm in found.items() if not math.isfinite(norm)]
    if wild:
        return Refused(gradient=gradient, verdict=f"not finite: {', '.join(wild)}")
    impossible = below_zero(decoder, vectors)
    if impossible:
        return Refused(gradient=gradient, verdict=f"a variance below zero: {', '.join(impossible)}")
    factors = {
        group: min(1.0, clip_norm / found[group])
        for group in vectors.parameter_groups
        if clip_norm is not None and found[group] > 0.0
    }
    weight = num_samples * decay
    if private_norm is not None:
        weight, whole = 1.0, math.hypot(*(found[group] for group in vectors.parameter_groups))
        factors = dict.fromkeys(vectors.parameter_groups, min(1.0, private_norm / whole) if whole > 0.0 else 1.0)
    place = gradient if place is None else place
    return Admitted(gradient=gradient, place=place, decoder=decoder, weight=weight, factors=factors)
