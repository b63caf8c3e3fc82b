"""The database stays bounded; `python -m benchmarks.space` is the long version."""

from __future__ import annotations

import secrets

from benchmarks.space import Rounds
from tests.integration.classroom import Classroom, classroom, join

__all__ = ["classroom"]

NUM_ROUNDS = 12
NUM_GRADIENTS = 4
GRADIENT_BYTES = 1 << 20


def test_rounds_of_uploads_and_merges_do_not_grow_the_database(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    rounds = Rounds(
        owner=classroom.owner,
        volunteer=alice,
        run=classroom.run,
        worker=join(alice).worker,
        num_gradients=NUM_GRADIENTS,
        gradient=secrets.token_bytes(GRADIENT_BYTES),
    )

    first, *_, last = rounds.measure(NUM_ROUNDS)

    # Without reclaiming it would have grown by 44 MB; of rows that stay there is less than one.
    assert last.size - first.size < NUM_GRADIENTS * GRADIENT_BYTES
