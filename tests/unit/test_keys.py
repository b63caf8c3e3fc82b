from __future__ import annotations

import pytest

from coordinator.keys import split


@pytest.mark.parametrize(
    ("read", "keys"),
    [
        ("q", ["q"]),
        ("nns", ["n", "n", "s"]),
        (" ", ["space"]),
        ("\x1b", ["escape"]),
        ("\x1b[A\x1b[6~s", ["up", "page down", "s"]),
        ("\x1bOD", ["left"]),
        ("\x1aé", ["\x1a", "é"]),
        # A key that has no name here is one key all the same, and not an Escape with letters behind it.
        ("\x1b[15~", ["\x1b[15~"]),
        ("", []),
    ],
)
def test_keys_that_came_at_once_are_told_one_by_one(read: str, keys: list[str]) -> None:
    assert split(read) == keys
