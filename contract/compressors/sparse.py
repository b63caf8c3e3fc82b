from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from contract.compressors._flat import flat, in_blocks, largest, magnitudes, num_blocks, starts
from contract.compressors.base import CHUNK_VALUES, ChunkedDecoder, Decoder, Stored
from contract.errors import BlobError
from contract.tensors import Manifest, TensorSpec

_BLOCKS: Final = ":blocks"
_TABLES: Final = ":tables"
_BLOCK: Final = 4096
_KEPT: Final = 64
# So many blocks share a table: large enough for it to cost next to nothing, small enough to follow the values' size.
_STRETCH: Final = 64
_STRETCH_VALUES: Final = _STRETCH * _BLOCK
# Bins reach so many standard deviations to either side of zero; what lies beyond goes into the outermost.
_REACH: Final = 3.0

_Bytes = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sparse:
    """Of every 4,096 values the 64 of largest magnitude: 12 bits for the place of each, and `bits` for its size, as a
    place in a table of means."""

    name: ClassVar[str] = "sparse"
    lossless: ClassVar[bool] = False
    is_sparse: ClassVar[bool] = True
    bits: Literal[2, 4, 8] = 2

    def suits(self, spec: TensorSpec) -> bool:
        # Of as few as are kept of a block every one would be, with a few bits.
        table_bytes = 4 * -(-spec.num_values // _STRETCH_VALUES) << self.bits
        return spec.num_values > _KEPT and self._num_bytes(spec.num_values) + table_bytes < spec.num_bytes

    def wire_manifest(self, manifest: Manifest) -> Manifest:
        num_bytes = sum(self._num_bytes(spec.num_values) for spec in manifest.tensors)
        num_tables = sum(num_blocks(manifest.tensors, _STRETCH_VALUES).values())
        return Manifest(
            tensors=(
                TensorSpec(name=_BLOCKS, dtype="U8", shape=(num_bytes,)),
                TensorSpec(name=_TABLES, dtype="F32", shape=(num_tables, 1 << self.bits)),
            )
        )

    def encode(self, tensors: Mapping[str, Tensor], *, seed: int) -> dict[str, Tensor]:
        blocks: list[_Bytes] = []
        tables: list[npt.NDArray[np.float32]] = []
        for tensor in tensors.values():
            for stretch in torch.split(flat(tensor), _STRETCH_VALUES):
                table, records = self._stretch(stretch)
                tables.append(table)
                blocks.extend(records)
        return {_BLOCKS: torch.from_numpy(np.concatenate(blocks)), _TABLES: torch.from_numpy(np.stack(tables))}

    def decoder(self, stored: Stored, manifest: Manifest) -> Decoder:
        return _Decoder(stored, manifest, self)

    def error_bound(self, tensor: Tensor) -> Tensor:
        # What is left out is what it was. What is kept is read with its sign, and no larger than the largest of its
        # stretch.
        bound = flat(tensor).abs()
        for stretch in torch.split(bound, _STRETCH_VALUES):
            limit = stretch.amax()
            for _, rows in in_blocks(stretch, _BLOCK, _STRETCH_VALUES):
                smallest = rows.topk(min(_KEPT, rows.shape[1])).values[:, -1:]
                rows.masked_fill_(rows >= smallest, limit)
        return bound.view(tensor.shape)

    def _num_bytes(self, num_values: int) -> int:
        """Of whole blocks, and of the rest as a smaller one."""
        rest = min(_KEPT, num_values % _BLOCK)
        return num_values // _BLOCK * self._record_bytes(_KEPT) + self._record_bytes(rest)

    def _record_bytes(self, kept: int) -> int:
        return _place_bytes(kept) + -(-kept * self.bits // 8)

    def _stretch(self, values: Tensor) -> tuple[npt.NDArray[np.float32], list[_Bytes]]:
        """The table, and the records of its blocks."""
        chosen = [
            (first, largest(magnitudes(rows).numpy(), min(_KEPT, rows.shape[1])))
            for first, rows in in_blocks(values, _BLOCK, _STRETCH_VALUES)
        ]
        absolute = [places + (first + np.arange(len(places)))[:, None] * _BLOCK for first, places in chosen]
        kept = values.numpy()[np.concatenate(absolute, axis=None)]
        table, codes = _binned(kept, 1 << self.bits)
        cuts = np.cumsum([places.size for _, places in chosen])[:-1]
        return table, [
            np.hstack([_packed_places(places), _packed_codes(its_codes.reshape(places.shape), self.bits)]).ravel()
            for (_, places), its_codes in zip(chosen, np.split(codes, cuts), strict=True)
        ]


class _Decoder(ChunkedDecoder):
    def __init__(self, stored: Stored, manifest: Manifest, codec: Sparse) -> None:
        self._stored = stored
        self._bits = codec.bits
        self._record_bytes = codec._record_bytes
        self._sizes = {spec.name: spec.num_values for spec in manifest.tensors}
        self._starts = starts({name: codec._num_bytes(size) for name, size in self._sizes.items()})
        counts = num_blocks(manifest.tensors, _STRETCH_VALUES)
        self._first_tables = starts(counts)
        self._tables = stored.values(_TABLES, 0, sum(counts.values()) << codec.bits).numpy().copy()

    def read_into(self, name: str, start: int, stop: int, out: Tensor) -> None:
        out.zero_()
        for at in range(start, stop, CHUNK_VALUES):
            places, values = self._kept(name, at, min(at + CHUNK_VALUES, stop))
            out.scatter_(0, places - start, values)

    def add_to(self, name: str, total: Tensor, *, weight: float) -> None:
        for at in range(0, total.numel(), CHUNK_VALUES):
            places, values = self._kept(name, at, min(at + CHUNK_VALUES, total.numel()))
            total.index_add_(0, places, values, alpha=weight)

    def _kept(self, name: str, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Places in the tensor, ascending, and values."""
        size, record = self._sizes[name], self._record_bytes(_KEPT)
        num_whole, rest = divmod(size, _BLOCK)
        first, last = start // _BLOCK, min(-(-stop // _BLOCK), num_whole)
        end = last * record if stop <= num_whole * _BLOCK else num_whole * record + self._record_bytes(min(_KEPT, rest))
        at = self._starts[name]
        content = self._stored.values(_BLOCKS, at + first * record, at + end).numpy()
        whole = max(0, last - first) * record
        found = [self._block_rows(name, first, content[:whole].reshape(-1, record), _BLOCK)]
        if content.size > whole:
            found.append(self._block_rows(name, num_whole, content[whole:][None], rest))
        places = np.concatenate([its_places for its_places, _ in found])
        values = np.concatenate([its_values for _, its_values in found])
        inside = slice(*np.searchsorted(places, (start, stop)))
        return torch.from_numpy(places[inside]), torch.from_numpy(values[inside])

    def _block_rows(
        self, name: str, first: int, records: _Bytes, width: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Of blocks of the same width, one behind the other, from the `first` on."""
        kept = min(_KEPT, width)
        places = _unpacked_places(records[:, : _place_bytes(kept)], kept)
        if bool((places[:, 1:] <= places[:, :-1]).any()) or bool((places[:, -1] >= width).any()):
            raise BlobError(f"the places of the values of {name} are not ascending within their block")
        codes = _unpacked_codes(records[:, _place_bytes(kept) :], self._bits, kept)
        blocks = first + np.arange(len(records))[:, None]
        tables = self._first_tables[name] + blocks // _STRETCH
        return (blocks * _BLOCK + places).ravel(), self._tables[(tables << self._bits) + codes].ravel()


def _binned(values: npt.NDArray[np.float32], num_bins: int) -> tuple[npt.NDArray[np.float32], _Bytes]:
    """The mean of each bin, and the bin of each value."""
    exact = values.astype(np.float64)
    if not np.isfinite(exact).all():
        return np.full(num_bins, np.nan, np.float32), np.zeros(len(values), np.uint8)
    # Values of either sign are kept alike, so their mean is taken to be zero; and none changes its sign by its bin.
    deviation = np.sqrt(np.mean(np.square(exact)))
    width = 2 * _REACH * deviation / num_bins or 1.0
    bins = np.clip(np.floor(exact / width) + num_bins // 2, 0, num_bins - 1).astype(np.uint8)
    sums = np.bincount(bins, weights=exact, minlength=num_bins)
    return (sums / np.bincount(bins, minlength=num_bins).clip(1)).astype(np.float32), bins


def _place_bytes(kept: int) -> int:
    return 3 * -(-kept // 2)


def _packed_places(places: npt.NDArray[np.intp]) -> _Bytes:
    """Two in three bytes, the lower first."""
    pairs = np.pad(places, ((0, 0), (0, places.shape[1] % 2)))
    even, odd = pairs[:, 0::2], pairs[:, 1::2]
    return (
        np.stack([even & 255, even >> 8 | (odd & 15) << 4, odd >> 4], axis=2).astype(np.uint8).reshape(len(pairs), -1)
    )


def _unpacked_places(packed: _Bytes, kept: int) -> npt.NDArray[np.int64]:
    triples = packed.reshape(len(packed), packed.shape[1] // 3, 3).astype(np.int64)
    low, middle, high = triples[:, :, 0], triples[:, :, 1], triples[:, :, 2]
    pairs = np.stack([low | (middle & 15) << 8, middle >> 4 | high << 4], axis=2)
    return pairs.reshape(len(packed), 2 * triples.shape[1])[:, :kept]


def _packed_codes(codes: _Bytes, bits: int) -> _Bytes:
    """The first in the lowest bits."""
    in_a_byte = 8 // bits
    groups = np.pad(codes, ((0, 0), (0, -codes.shape[1] % in_a_byte))).reshape(len(codes), -1, in_a_byte)
    packed: _Bytes = np.bitwise_or.reduce(groups << _shifts(bits), axis=2)
    return packed


def _unpacked_codes(packed: _Bytes, bits: int, kept: int) -> _Bytes:
    groups = packed[:, :, None] >> _shifts(bits) & np.uint8((1 << bits) - 1)
    return groups.reshape(len(packed), packed.shape[1] * (8 // bits))[:, :kept]


def _shifts(bits: int) -> _Bytes:
    return np.arange(0, 8, bits, dtype=np.uint8)
