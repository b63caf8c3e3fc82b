"""The first bytes of a PostgreSQL connection, and what the front answers. No I/O here."""

from __future__ import annotations

import enum
import struct

HEADER_BYTES = 8
TLS_HANDSHAKE = 0x16
ALPN = "postgresql"
# PostgreSQL's own limit.
_LARGEST_STARTUP = 10_000
_LARGEST_CANCEL = 12 + 256
_CANCEL_CODE, _SSL_CODE, _GSSENC_CODE = 80877102, 80877103, 80877104
_AUTHENTICATION = ord("R")


class Opening(enum.StrEnum):
    SSL_REQUEST = enum.auto()
    GSSENC_REQUEST = enum.auto()
    CANCEL_REQUEST = enum.auto()
    STARTUP = enum.auto()


class ProtocolError(Exception):
    """These bytes do not begin a PostgreSQL connection."""


def read_header(header: bytes) -> tuple[Opening, int]:
    """The kind of message, and its length with the header."""
    length, code = struct.unpack("!II", header)
    if code == _SSL_CODE and length == HEADER_BYTES:
        return Opening.SSL_REQUEST, length
    if code == _GSSENC_CODE and length == HEADER_BYTES:
        return Opening.GSSENC_REQUEST, length
    if code == _CANCEL_CODE and HEADER_BYTES < length <= _LARGEST_CANCEL:
        return Opening.CANCEL_REQUEST, length
    if code >> 16 == 3 and HEADER_BYTES < length <= _LARGEST_STARTUP:
        return Opening.STARTUP, length
    raise ProtocolError(f"a first message of {length} bytes with code {code}")


def may_pass(opening: Opening, *, encrypted: bool, loopback: bool) -> bool:
    """A cancel request carries no password, and libpq sends it in the clear unless it is new and asked otherwise."""
    return encrypted or loopback or opening is Opening.CANCEL_REQUEST


def error_response(sqlstate: str, message: str) -> bytes:
    fields = (("S", "FATAL"), ("V", "FATAL"), ("C", sqlstate), ("M", message))
    body = b"".join(kind.encode() + text.encode() + b"\0" for kind, text in fields) + b"\0"
    return b"E" + struct.pack("!I", len(body) + 4) + body


TLS_REQUIRED = error_response("28000", "this server takes encrypted connections only: use sslmode=require or better")
CROWDED = error_response("53300", "too many connections at present; try again in a moment")
SERVER_AWAY = error_response(
    "57P03", "the database behind this address does not answer just now; try again in a moment"
)


class LoginWatch:
    """Reads along the server's messages until it says AuthenticationOk."""

    __slots__ = ("_head", "_skip", "done")

    def __init__(self) -> None:
        self._head = b""
        self._skip = 0
        self.done = False

    def feed(self, chunk: bytes | memoryview) -> None:
        while len(chunk) and not self.done:
            if self._skip:
                step = min(self._skip, len(chunk))
                self._skip -= step
                chunk = chunk[step:]
                continue
            missing = 9 - len(self._head)
            self._head += bytes(chunk[:missing])
            chunk = chunk[missing:]
            if len(self._head) == 9:
                kind, length, code = struct.unpack("!BII", self._head)
                self.done = kind == _AUTHENTICATION and code == 0
                # Every message before AuthenticationOk has at least four bytes of body.
                self._skip = max(0, length - 8)
                self._head = b""
