"""Parts and their sums: what a gradient must be to be taken, and what becomes of one that was never finished."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest
from sqlalchemy import Connection, text

from contract.errors import (
    BadArgument,
    OverQuota,
)
from contract.ids import GradientId, Version
from coordinator.duties.reap import Reap
from coordinator.ledger import gradients
from tests.integration.classroom import GRADIENT, classroom, submission
from tests.integration.desk import Desk, desk, send_part, send_submit
from worker import ledger
from worker.ledger import Lease, Submission

__all__ = ["classroom", "desk"]


def part_of(conn: Connection, gradient: GradientId, part: int) -> bytes | None:
    return gradients.read_range(conn, gradient=gradient, part=part, start=0, num_bytes=1000)


def test_a_part_sent_twice_replaces_the_first(desk: Desk) -> None:
    with desk.alice.begin() as conn:
        assert ledger.upload_part(conn, lease=desk.lease, part=0, content=b"a longer draft") == 14
        assert ledger.upload_part(conn, lease=desk.lease, part=0, content=GRADIENT) == len(GRADIENT)
        gradient = ledger.submit(conn, lease=desk.lease, submission=submission())
    with desk.room.owner.begin() as conn:
        assert part_of(conn, gradient, 0) == GRADIENT


def test_the_last_part_rides_along_with_the_submit(desk: Desk) -> None:
    whole = b"first" + b"last"
    said = dataclasses.replace(submission(whole), num_parts=2)
    with desk.alice.begin() as conn:
        ledger.upload_part(conn, lease=desk.lease, part=0, content=b"first")
        gradient = ledger.submit(conn, lease=desk.lease, submission=said, last_part=b"last")
    with desk.room.owner.begin() as conn:
        assert [part_of(conn, gradient, part) for part in range(3)] == [b"first", b"last", None]
    (waiting,) = desk.waiting()
    assert (waiting.num_bytes, waiting.sha256) == (9, hashlib.sha256(whole).digest())


WHOLE = dataclasses.replace(submission(b"first" + b"last"), num_parts=2)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], WHOLE),
        ([0], WHOLE),
        ([1], WHOLE),
        ([0, 2], WHOLE),
        ([0, 1, 2], WHOLE),
        ([0, 1], dataclasses.replace(WHOLE, num_bytes=8)),
        ([0, 1], dataclasses.replace(WHOLE, num_bytes=10)),
        ([0, 1], dataclasses.replace(WHOLE, num_bytes=-1)),
        ([0, 1], dataclasses.replace(WHOLE, num_parts=1)),
        ([0, 1], dataclasses.replace(WHOLE, num_parts=0)),
        ([0, 1], dataclasses.replace(WHOLE, num_parts=-2)),
        ([0, 1], dataclasses.replace(WHOLE, num_samples=11)),
        ([0, 1], dataclasses.replace(WHOLE, num_samples=0)),
        ([0, 1], dataclasses.replace(WHOLE, sha256=b"short")),
        ([0, 1], dataclasses.replace(WHOLE, codec="None!")),
        ([0, 1], dataclasses.replace(WHOLE, losses={"": 1e31})),
    ],
)
def test_a_gradient_that_is_not_what_it_claims_is_refused(desk: Desk, parts: list[int], said: Submission) -> None:
    content = {0: b"first", 1: b"last", 2: b"more"}
    with desk.alice.begin() as conn:
        for part in parts:
            ledger.upload_part(conn, lease=desk.lease, part=part, content=content[part])

    def write(conn: Connection, lease: Lease) -> GradientId:
        return ledger.submit(conn, lease=lease, submission=said)

    desk.refused(desk.alice, desk.lease, write, BadArgument)


def test_a_gradient_too_large_is_refused_at_its_first_part_too_many(desk: Desk) -> None:
    with desk.room.owner.begin() as conn:
        conn.execute(text("UPDATE ledger.runs SET max_part_bytes = 10, max_gradient_bytes = 15"))
    with desk.alice.begin() as conn:
        ledger.upload_part(conn, lease=desk.lease, part=0, content=b"x" * 10)

    def one_more(conn: Connection, lease: Lease) -> int:
        return ledger.upload_part(conn, lease=lease, part=1, content=b"x" * 6)

    def too_long(conn: Connection, lease: Lease) -> int:
        return ledger.upload_part(conn, lease=lease, part=1, content=b"x" * 11)

    desk.refused(desk.alice, desk.lease, one_more, OverQuota, "at most 15 bytes")
    desk.refused(desk.alice, desk.lease, too_long, OverQuota, "at most 10 bytes")


def test_what_was_uploaded_under_a_lost_lease_is_discarded_with_its_bytes(desk: Desk) -> None:
    with desk.alice.begin() as conn:
        send_part(conn, desk.lease)
    desk.expire()
    report = Reap(engine=desk.room.owner, run=desk.room.run).run_once()
    assert (report.reopened, len(report.discarded)) == ((desk.lease.unit,), 1)
    with desk.room.owner.begin() as conn:
        assert gradients.forget_blobs(conn, run=desk.room.run, up_to=Version(0)) == 1
        states = conn.execute(text("SELECT state, verdict FROM ledger.gradients")).all()
        assert conn.execute(text("SELECT count(*) FROM ledger.gradient_blobs")).scalar_one() == 0
    assert [tuple(row) for row in states] == [("discarded", "its lease ended before it was complete")]


def test_an_upload_under_a_standing_lease_is_not_discarded(desk: Desk) -> None:
    with desk.alice.begin() as conn:
        send_part(conn, desk.lease)
    assert Reap(engine=desk.room.owner, run=desk.room.run).run_once().discarded == ()
    with desk.alice.begin() as conn:
        ledger.submit(conn, lease=desk.lease, submission=submission())


def test_the_bytes_of_a_gradient_that_waits_are_never_forgotten(desk: Desk) -> None:
    with desk.alice.begin() as conn:
        send_submit(conn, desk.lease)
    with desk.room.owner.begin() as conn:
        assert gradients.forget_blobs(conn, run=desk.room.run, up_to=Version(10)) == 0
