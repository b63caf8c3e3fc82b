from __future__ import annotations

import threading

import pytest

from contract.errors import DatabaseUnreachable, LoginRefused, SchemaTooNew
from worker.retrying import Calm, StoppedError, until_it_works


class Flaky:
    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.tries = 0

    def __call__(self) -> str:
        self.tries += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


def test_a_database_that_is_away_is_waited_for() -> None:
    said: list[str] = []
    assert until_it_works(Flaky(DatabaseUnreachable("gone")), stop=threading.Event(), report=said.append) == "done"
    assert said == ["gone; trying again until it answers", "the database answers again"]


@pytest.mark.parametrize("kind", [LoginRefused, SchemaTooNew])
def test_what_patience_does_not_mend_is_said_at_once(kind: type[Exception]) -> None:
    action = Flaky(kind(), kind())
    with pytest.raises(kind):
        until_it_works(action, stop=threading.Event(), report=lambda text: None)
    assert action.tries == 1


def test_who_is_leaving_delivers_what_is_done_but_waits_for_nobody() -> None:
    stop = threading.Event()
    stop.set()
    assert until_it_works(Flaky(), stop=stop, report=lambda text: None) == "done"
    away = Flaky(DatabaseUnreachable(), DatabaseUnreachable())
    with pytest.raises(StoppedError):
        until_it_works(away, stop=stop, report=lambda text: None)
    assert away.tries == 1


def test_trouble_that_many_meet_is_told_once_and_so_is_its_end() -> None:
    said: list[str] = []
    calm = Calm(said.append)
    for failures in (3, 2):
        action = Flaky(*[DatabaseUnreachable(f"gone (the database said: {failures})")] * failures)
        with pytest.raises(StoppedError):
            until_it_works(action, stop=_set(), report=calm)
    calm("unit 7 goes back: too hot")
    for _ in range(2):
        calm("the database answers again")
    calm("gone; trying again until it answers")
    assert said == [
        "gone (the database said: 3); trying again until it answers",
        "unit 7 goes back: too hot",
        "the database answers again",
        "gone; trying again until it answers",
    ]


def _set() -> threading.Event:
    event = threading.Event()
    event.set()
    return event
