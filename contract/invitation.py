"""An invitation in one line: the text of a NAME.yaml, packed so that it survives a chat window."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from typing import Final

from contract.errors import InvitationError

_PREFIX: Final = "barnraise1-"
_LETTERS: Final = re.compile(r"[A-Za-z0-9_-]*")
_CHECKSUM_BYTES: Final = 6
_LONGEST: Final = 20_000
_MOST_TEXT: Final = 64_000


def encode_token(config_text: str) -> str:
    packed = zlib.compress(config_text.encode(), 9)
    checksum = hashlib.sha256(packed).digest()[:_CHECKSUM_BYTES]
    return _PREFIX + base64.urlsafe_b64encode(checksum + packed).decode().rstrip("=")


def decode_token(token: str) -> str:
    """The configuration inside. White space that a mail program put in is forgiven; a missing end is not."""
    token = re.sub(r"\s", "", token)
    if not token.startswith(_PREFIX):
        raise InvitationError(f"this is not a join token; one begins with {_PREFIX}")
    if len(token) > _LONGEST:
        raise InvitationError("this is too long for a join token")
    body = token.removeprefix(_PREFIX)
    if not _LETTERS.fullmatch(body):
        raise InvitationError("the join token has characters that do not belong; copy it once more")
    incomplete = InvitationError("the join token is not complete; copy it once more, to its very end")
    try:
        raw = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    except binascii.Error:
        # One letter alone in the last group of four: no bytes end so.
        raise incomplete from None
    checksum, packed = raw[:_CHECKSUM_BYTES], raw[_CHECKSUM_BYTES:]
    if hashlib.sha256(packed).digest()[:_CHECKSUM_BYTES] != checksum:
        raise incomplete
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(packed, _MOST_TEXT)
        return text.decode()
    except (zlib.error, UnicodeDecodeError):
        raise InvitationError("the join token is damaged; ask for a new one") from None
