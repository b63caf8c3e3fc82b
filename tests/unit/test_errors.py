"""One tree of errors: drawn at the top of its file, a message of one line each, an exit code for every kind."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest

import contract.errors
from contract.errors import BarnraiseError, ConfigError, DatabaseError, LedgerRefusal, all_errors, error_for_sqlstate

ERRORS = list(all_errors())


def test_the_drawing_is_the_tree() -> None:
    doc = contract.errors.__doc__ or ""
    drawn = [line.removeprefix("    ") for line in doc.splitlines() if line.startswith("    ")]
    expected = list(draw(BarnraiseError))
    assert [line[: len(wanted)] for line, wanted in zip(drawn, expected, strict=True)] == expected


def draw(error: type[BarnraiseError], branch: str = "", below: str = "") -> Iterator[str]:
    name = branch + error.__name__
    parent = error.__mro__[1]
    code = error.sqlstate or (f"exit {error.exit_code}" if parent in {Exception, BarnraiseError} else None)
    yield name if code is None else f"{name:<36}{code}"
    children = error.__subclasses__()
    for child in children:
        is_last = child is children[-1]
        yield from draw(child, below + ("`-- " if is_last else "|-- "), below + ("    " if is_last else "|   "))


@pytest.mark.parametrize("error", ERRORS)
def test_the_docstring_is_a_message_of_one_line(error: type[BarnraiseError]) -> None:
    message = inspect.cleandoc(error.__dict__["__doc__"])
    assert "\n" not in message
    assert message[0].isupper()
    assert message[-1] in ".?"


# Others are told what to say: their message is made of what they carry.
WITH_WORDS_OF_THEIR_OWN = [error for error in ERRORS if error.__init__ is BarnraiseError.__init__]


@pytest.mark.parametrize("error", WITH_WORDS_OF_THEIR_OWN)
def test_an_error_without_words_says_its_docstring(error: type[BarnraiseError]) -> None:
    assert str(error()) == inspect.cleandoc(error.__doc__ or "")
    assert str(error("in other words")) == "in other words"


def test_all_problems_of_a_configuration_come_in_one_message() -> None:
    error = ConfigError(["one is wrong", "two is worse"], source="config.yaml")
    assert str(error) == "2 problems in config.yaml:\n  - one is wrong\n  - two is worse"
    assert error.problems == ("one is wrong", "two is worse")


def test_each_kind_has_an_exit_code_of_its_own() -> None:
    kinds = BarnraiseError.__subclasses__()
    codes = [kind.exit_code for kind in kinds]
    assert sorted(codes) == list(range(2, 2 + len(kinds)))
    for kind in kinds:
        assert {error.exit_code for error in all_errors(kind)} == {kind.exit_code}


def test_only_refusals_of_the_ledger_have_a_sqlstate_each_their_own() -> None:
    states = {error: error.sqlstate for error in ERRORS if error.sqlstate is not None}
    assert set(states) <= set(all_errors(LedgerRefusal)) - {LedgerRefusal}
    assert sorted(states.values()) == [f"BR{number:03}" for number in range(1, len(states) + 1)]
    assert all(error_for_sqlstate(state) is error for error, state in states.items())


def test_a_sqlstate_of_others_has_no_error() -> None:
    assert error_for_sqlstate("42501") is None
    assert DatabaseError.sqlstate is None
