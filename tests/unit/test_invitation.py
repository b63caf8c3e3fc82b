from __future__ import annotations

import pytest

from contract.errors import InvitationError
from contract.invitation import decode_token, encode_token

# The lengths of their tokens cover every remainder of 4, so that every way to end badly occurs.
TEXTS = ["a: 1\n", "database:\n  host: example\n", "run:\n  name: ducks\n", "x" * 500]


@pytest.mark.parametrize("text", TEXTS)
def test_a_token_carries_its_text(text: str) -> None:
    assert decode_token(encode_token(text)) == text


@pytest.mark.parametrize("text", TEXTS)
def test_white_space_of_a_mail_program_is_forgiven(text: str) -> None:
    token = encode_token(text)
    assert decode_token(f" {token[:20]}\r\n  {token[20:]}\t") == text


@pytest.mark.parametrize("text", TEXTS)
def test_a_token_is_called_incomplete_wherever_it_was_cut(text: str) -> None:
    token = encode_token(text)
    for cut in range(1, len(token) - len("barnraise1-") + 1):
        with pytest.raises(InvitationError, match="not complete; copy it once more, to its very end"):
            decode_token(token[:-cut])


@pytest.mark.parametrize("wrong", ["!", "=", "é", "+", "/"])
def test_letters_of_no_token_are_named_as_such(wrong: str) -> None:
    token = encode_token("a: 1\n")
    with pytest.raises(InvitationError, match="characters that do not belong"):
        decode_token(token[:-1] + wrong)


def test_something_else_is_no_token() -> None:
    with pytest.raises(InvitationError, match="one begins with barnraise1-"):
        decode_token("config.yaml")
