from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import ClassVar, Final

import torch
from torch import Tensor

from contract.compressors._flat import flat, require_within, specs_of, starts
from contract.compressors.base import ChunkedDecoder, Decoder, Stored
from contract.tensors import Manifest, TensorSpec

_FACTORS: Final = ":factors"
# Values decoded at a time, so that a product and what it is added to stay in a processor's second cache.
_AT_A_TIME: Final = 1 << 15
_LARGEST_RANK: Final = 64
_LARGEST: Final = torch.finfo(torch.float32).max
# Powers of two that are normal numbers in float32, and so are their reciprocals.
_EXPONENTS: Final = (-126, 126)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PowerSgd:
    """Each matrix as the product of two thin ones: a step of the power method from a seeded start finds `rank`
    directions, and the matrix is sent as its projection on them. Kernels are matrices with a row for each filter."""

    name: ClassVar[str] = "powersgd"
    lossless: ClassVar[bool] = False
    is_sparse: ClassVar[bool] = False
    rank: int = 4

    def __post_init__(self) -> None:
        require_within("rank", self.rank, _LARGEST_RANK)

    def suits(self, spec: TensorSpec) -> bool:
        return len(spec.shape) > 1 and self._num_factors(spec) < spec.num_values

    def wire_manifest(self, manifest: Manifest) -> Manifest:
        num_factors = sum(map(self._num_factors, manifest.tensors))
        return Manifest(tensors=(TensorSpec(name=_FACTORS, dtype="F32", shape=(num_factors,)),))

    def encode(self, tensors: Mapping[str, Tensor], *, seed: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        factors = []
        for spec in specs_of(tensors):
            num_rows, num_columns = _sides(spec)
            start = torch.randn(num_columns, self.rank, generator=generator)
            left, right = _factors(flat(tensors[spec.name]).view(num_rows, num_columns), start)
            factors += [left.t().reshape(-1), right.t().reshape(-1)]
        return {_FACTORS: torch.cat(factors)}

    def decoder(self, stored: Stored, manifest: Manifest) -> Decoder:
        return _Decoder(stored, manifest, self)

    def error_bound(self, tensor: Tensor) -> Tensor:
        # A column loses its part outside the directions, and that is no longer than the column.
        matrix = tensor.reshape(tensor.shape[0], -1)
        columns: Tensor = torch.linalg.vector_norm(matrix, dim=0, dtype=torch.float64) * (1 + 1e-4) + 2.0**-120
        return columns.expand(matrix.shape).reshape(tensor.shape)

    def _num_factors(self, spec: TensorSpec) -> int:
        return self.rank * sum(_sides(spec))


class _Decoder(ChunkedDecoder):
    def __init__(self, stored: Stored, manifest: Manifest, codec: PowerSgd) -> None:
        self._stored = stored
        self._rank = codec.rank
        self._sides = {spec.name: _sides(spec) for spec in manifest.tensors}
        self._starts = starts({spec.name: codec._num_factors(spec) for spec in manifest.tensors})
        # Of the tensor that was read last.
        self._latest: tuple[str, Tensor, Tensor] = ("", torch.empty(0), torch.empty(0))

    def read_into(self, name: str, start: int, stop: int, out: Tensor) -> None:
        left, right = self._factors(name)
        num_columns = right.shape[1]
        room = torch.empty(max(_AT_A_TIME, num_columns))
        at = 0
        for rows, columns in _rectangles(start, stop, num_columns):
            height, width = rows.stop - rows.start, columns.stop - columns.start
            found = out[at : at + height * width].view(height, width)
            product = room[: height * width].view(height, width)
            at += height * width
            torch.mul(left[0, rows, None], right[0, None, columns], out=found)
            # A product and then a sum, each rounded: a fused or blocked sum is not the same on every machine.
            for direction in range(1, self._rank):
                torch.mul(left[direction, rows, None], right[direction, None, columns], out=product)
                found.add_(product)

    def _factors(self, name: str) -> tuple[Tensor, Tensor]:
        latest, left, right = self._latest
        if latest != name:
            num_rows, num_columns = self._sides[name]
            at, middle = self._starts[name], self._starts[name] + self._rank * num_rows
            left = self._stored.values(_FACTORS, at, middle).clone().view(self._rank, num_rows)
            right = self._stored.values(_FACTORS, middle, middle + self._rank * num_columns).clone()
            right = right.view(self._rank, num_columns)
            self._latest = (name, left, right)
        return left, right


def _sides(spec: TensorSpec) -> tuple[int, int]:
    return spec.shape[0], math.prod(spec.shape[1:])


def _factors(matrix: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    largest = matrix.abs().amax()
    if not torch.isfinite(largest):
        return matrix.new_full((len(matrix), start.shape[1]), torch.nan), start
    # Brought near one by a power of two, so that no product overflows or vanishes.
    exponent = torch.frexp(largest).exponent.clamp(*_EXPONENTS)
    near_one = torch.ldexp(matrix, -exponent)
    left = torch.linalg.qr(near_one @ start).Q
    right = torch.ldexp(near_one.t() @ left, exponent).clamp_(-_LARGEST, _LARGEST)
    return left, right


def _rectangles(start: int, stop: int, num_columns: int) -> Iterator[tuple[slice, slice]]:
    """A range of the flattened matrix as pieces of rows and columns, in order."""
    while start < stop:
        row, column = divmod(start, num_columns)
        if column or stop - start < num_columns:
            end = min(num_columns, column + stop - start)
            yield slice(row, row + 1), slice(column, end)
            start += end - column
        else:
            num_rows = min((stop - start) // num_columns, max(1, _AT_A_TIME // num_columns))
            yield slice(row, row + num_rows), slice(0, num_columns)
            start += num_rows * num_columns
