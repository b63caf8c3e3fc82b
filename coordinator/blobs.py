"""Reads a gradient's bytes where they lie, part by part."""

from __future__ import annotations

import bisect
import hashlib
import itertools

from sqlalchemy import Connection

from contract.errors import BlobError
from contract.ids import GradientId
from coordinator.ledger import gradients


class GradientBytes:
    """Any range of the blob. It is read twice, to be judged and to be added, each time from front to end: `keep` its
    parts in between, or only the last one read."""

    def __init__(self, conn: Connection, gradient: GradientId, *, keep: bool = False) -> None:
        self._conn = conn
        self._gradient = gradient
        sizes = gradients.part_sizes(conn, gradient=gradient)
        self._ends = list(itertools.accumulate(sizes))
        self._keeps_all = keep
        self._kept: dict[int, bytes] = {}

    def require(self, sha256: bytes) -> None:
        digest = hashlib.sha256()
        for number in range(len(self._ends)):
            digest.update(self._part(number))
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
            piece = memoryview(self._part(number))[start : start + num_bytes - len(found)]
            if len(piece) == num_bytes:
                return piece
            found += piece
        return bytes(found)

    def _part(self, number: int) -> bytes:
        if number not in self._kept:
            if not self._keeps_all:
                self._kept.clear()
            content = gradients.read_part(self._conn, gradient=self._gradient, part=number)
            if content is None:
                raise BlobError(f"part {number} is gone")
            self._kept[number] = content
        return self._kept[number]
