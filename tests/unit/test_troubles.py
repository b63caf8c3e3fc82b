"""A trouble that many meet again and again is told once, and so is its end."""

from __future__ import annotations

from contract.errors import DatabaseFull, DatabaseUnreachable
from coordinator.troubles import Recovered, Troubles


def test_a_trouble_is_told_once_and_its_end_once() -> None:
    told: list[object] = []
    troubles = Troubles(told.append)
    full = DatabaseFull()
    for _ in range(5):
        troubles.met("loop", full)
        troubles.met("police", DatabaseFull())
    assert told == [full]
    troubles.over("police")
    assert told == [full], "the other still has it"
    troubles.over("loop")
    troubles.over("loop")
    assert [type(report) for report in told] == [DatabaseFull, Recovered]


def test_another_trouble_is_told_too() -> None:
    told: list[object] = []
    troubles = Troubles(told.append)
    troubles.met("loop", DatabaseFull())
    troubles.met("loop", DatabaseUnreachable())
    troubles.over("loop")
    assert [type(report) for report in told] == [DatabaseFull, DatabaseUnreachable, Recovered, Recovered]


def test_the_pauses_grow_and_end_at_half_a_minute() -> None:
    troubles = Troubles(lambda _: None)
    pauses = [troubles.met("loop", DatabaseFull()) for _ in range(2000)]
    assert 0.5 <= pauses[0] <= 1
    assert all(15 <= pause <= 30 for pause in pauses[10:])


def test_whoever_works_again_begins_with_a_short_pause() -> None:
    troubles = Troubles(lambda _: None)
    for _ in range(8):
        troubles.met("loop", DatabaseFull())
    troubles.over("loop")
    assert troubles.met("loop", DatabaseFull()) <= 1
