"""A blob in the database is read in pieces that need not be the parts it was sent in."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from contract.errors import BlobError
from contract.ids import GradientId
from coordinator.blobs import PIECE_BYTES, GradientBytes
from tests.integration.classroom import classroom, submission
from tests.integration.desk import Desk, desk
from worker import ledger

__all__ = ["classroom", "desk"]

PART_BYTES = PIECE_BYTES * 3 // 2
BLOB = random.Random(1).randbytes(PART_BYTES + PIECE_BYTES)  # noqa: S311


@pytest.fixture
def stored(desk: Desk) -> Iterator[tuple[Connection, GradientId]]:
    said = dataclasses.replace(submission(BLOB), num_parts=2)
    with desk.alice.begin() as conn:
        ledger.upload_part(conn, lease=desk.lease, part=0, content=BLOB[:PART_BYTES])
        gradient = ledger.submit(conn, lease=desk.lease, submission=said, last_part=BLOB[PART_BYTES:])
    with desk.room.owner.connect() as conn:
        yield conn, gradient


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("place", [0, PIECE_BYTES, PART_BYTES, PIECE_BYTES + PART_BYTES])
def test_a_range_is_the_same_wherever_pieces_and_parts_end(
    stored: tuple[Connection, GradientId], place: int, keep: bool
) -> None:
    conn, gradient = stored
    content = GradientBytes(conn, gradient, keep=keep)
    for start in (max(0, place - 7), max(0, place - PIECE_BYTES - 7), place):
        stop = min(len(BLOB), place + 9)
        assert bytes(content.read(start, stop - start)) == BLOB[start:stop]


def test_the_checksum_is_that_of_all_pieces(stored: tuple[Connection, GradientId]) -> None:
    conn, gradient = stored
    content = GradientBytes(conn, gradient)
    content.require(hashlib.sha256(BLOB).digest())
    with pytest.raises(BlobError, match="checksum"):
        content.require(hashlib.sha256(BLOB[1:]).digest())


def test_past_the_end_there_is_nothing(stored: tuple[Connection, GradientId]) -> None:
    conn, gradient = stored
    with pytest.raises(BlobError, match="cut short"):
        GradientBytes(conn, gradient).read(len(BLOB) - 1, 2)
