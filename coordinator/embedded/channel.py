"""Two ways to carry bytes, plain and TLS, behind one small face.

asyncio's own TLS copies every byte more often, and it cannot begin with bytes that were read already, which direct TLS
needs. A MemoryBIO does both, on every platform.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import cast

_SMALLEST, _LARGEST = 16 * 1024, 256 * 1024
_EMPTY = memoryview(b"")


class ReadBuffer:
    """Grows for a transfer, shrinks for small talk: three hundred idle connections should not hold 150 MB."""

    __slots__ = ("view",)

    def __init__(self) -> None:
        self.view = memoryview(bytearray(_SMALLEST))

    def adapt(self, received: int) -> None:
        size = len(self.view)
        if received == size and size < _LARGEST:
            self.view = memoryview(bytearray(size * 2))
        elif received < _SMALLEST // 4 and size > _SMALLEST:
            self.view = memoryview(bytearray(_SMALLEST))


class Channel:
    """A plain socket."""

    encrypted = False

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._loop = asyncio.get_running_loop()
        self._buffer = ReadBuffer()

    async def read_exactly(self, count: int) -> bytes:
        """Never reads further than asked: what follows may belong to TLS."""
        taken = bytearray()
        while len(taken) < count:
            chunk = await self._loop.sock_recv(self.sock, count - len(taken))
            if not chunk:
                raise EOFError
            taken += chunk
        return bytes(taken)

    async def receive(self) -> memoryview:
        """Whatever has come; empty at the end. Valid until the next call."""
        view = self._buffer.view
        received = await self._loop.sock_recv_into(self.sock, view)
        self._buffer.adapt(received)
        return view[:received]

    async def send(self, data: bytes | memoryview) -> None:
        await self._loop.sock_sendall(self.sock, data)

    async def end(self) -> None:
        """Nothing more will be sent; receiving goes on."""
        self.sock.shutdown(socket.SHUT_WR)


class TlsChannel(Channel):
    encrypted = True

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, already: bytes = b"") -> None:
        super().__init__(sock)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._incoming.write(already)
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._plain = memoryview(bytearray(_SMALLEST))
        self._ended = False
        # Both directions may have something to send: an answer, and an alert or a new key.
        self._sending = asyncio.Lock()

    async def handshake(self) -> None:
        try:
            while True:
                try:
                    self._tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    await self._flush()
                    await self._fill()
        finally:
            # Also the alert that tells why it failed.
            await self._flush()

    def protocol(self) -> str | None:
        return self._tls.selected_alpn_protocol()

    async def read_exactly(self, count: int) -> bytes:
        taken = bytearray()
        while len(taken) < count:
            try:
                chunk = self._tls.read(count - len(taken))
            except ssl.SSLWantReadError:
                await self._fill()
                continue
            if not chunk:
                raise EOFError
            taken += chunk
        return bytes(taken)

    async def receive(self) -> memoryview:
        while not (count := self._decrypt()):
            if self._ended:
                return _EMPTY
            if self._outgoing.pending:
                await self._flush()
            await self._fill()
        return self._plain[:count]

    async def send(self, data: bytes | memoryview) -> None:
        self._tls.write(data)
        await self._flush()

    async def end(self) -> None:
        # It wants the other side's goodbye too, which `receive` will see.
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        await self._flush()
        await super().end()

    def _decrypt(self) -> int:
        if len(self._plain) != len(self._buffer.view):
            self._plain = memoryview(bytearray(len(self._buffer.view)))
        room, filled = len(self._plain), 0
        while filled < room and not self._ended:
            try:
                # With a buffer it answers how many, whatever the stubs say.
                count = cast(int, self._tls.read(room - filled, self._plain[filled:]))
            except ssl.SSLWantReadError:
                break
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                count = 0
            if not count:
                self._ended = True
            filled += count
        return filled

    async def _fill(self) -> None:
        view = self._buffer.view
        received = await self._loop.sock_recv_into(self.sock, view)
        if received:
            self._incoming.write(view[:received])
            self._buffer.adapt(received)
        else:
            self._incoming.write_eof()

    async def _flush(self) -> None:
        async with self._sending:
            while self._outgoing.pending:
                await self._loop.sock_sendall(self.sock, self._outgoing.read())
