"""Reads a gradient's bytes where they lie, piece by piece."""

from __future__ import annotations

import bisect
import hashlib
import itertools
from typing import Final

from sqlalchemy import Connection

from contract.errors import BlobError
from contract.ids import GradientId
from coordinator.ledger import gradients

# A rule reads all gradients of an update side by side and holds a piece of each: whole parts of 4 MB would be 64 MB of
# sixteen gradients. Below this, what a query costs begins to count.
PIECE_BYTES: Final = 1 << 20


class GradientBytes:
    """Any range of the blob. It is read twice, to be judged and to be added, each time from front to end: `keep` its
    pieces in between, or only the last one read."""

    def __init__(self, conn: Connection, gradient: GradientId, *, keep: bool = False) -> None:
        self._conn = conn
        self._gradient = gradient
        sizes = gradients.part_sizes(conn, gradient=gradient)
        # (part, first byte in it, number of bytes)
        self._pieces = [
            (part, start, min(PIECE_BYTES, size - start))
            for part, size in enumerate(sizes)
            for start in range(0, size, PIECE_BYTES)
        ]
        self._ends = list(itertools.accumulate(num_bytes for _, _, num_bytes in self._pieces))
        self._keeps_all = keep
        self._kept: dict[int, bytes] = {}

    def require(self, sha256: bytes) -> None:
        digest = hashlib.sha256()
        for number in range(len(self._pieces)):
            digest.update(self._piece(number))
        if digest.digest() != sha256:
            raise BlobError("its bytes do not have the checksum that was announced")

    def read(self, offset: int, num_bytes: int) -> bytes | memoryview:
        found = bytearray()
        while len(found) < num_bytes:
            number = bisect.bisect_right(self._ends, offset + len(found))
            if number == len(self._ends):
                raise BlobError("cut short")
            begin = self._ends[number - 1] if number else 0
            start = offset + len(found) - begin
            piece = memoryview(self._piece(number))[start : start + num_bytes - len(found)]
            if len(piece) == num_bytes:
                return piece
            found += piece
        return memoryview(found)

    def _piece(self, number: int) -> bytes:
        if number not in self._kept:
            if not self._keeps_all:
                self._kept.clear()
            part, start, num_bytes = self._pieces[number]
            content = gradients.read_range(
                self._conn, gradient=self._gradient, part=part, start=start, num_bytes=num_bytes
            )
            if content is None:
                raise BlobError(f"part {part} is gone")
            if len(content) != num_bytes:
                raise BlobError(f"part {part} is shorter than it was")
            self._kept[number] = content
        return self._kept[number]
