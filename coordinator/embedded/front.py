"""The TLS front: answers PostgreSQL's handshakes for a server that was built without TLS, then carries bytes.

    python -m coordinator.embedded.front ORDER

It runs beside the embedded server, outlives whoever started it, and ends when its record is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import logging.handlers
import os
import signal
import socket
import ssl
import sys
from pathlib import Path

from coordinator.embedded import opening
from coordinator.embedded.account import drop_privileges
from coordinator.embedded.channel import Channel, TlsChannel
from coordinator.embedded.front_order import FrontOrder, FrontRecord
from coordinator.embedded.gate import CrowdedError, Gate
from coordinator.embedded.lock import take_within
from coordinator.embedded.opening import LoginWatch, Opening, ProtocolError
from coordinator.embedded.places import write_file
from coordinator.embedded.settings import is_loopback
from coordinator.embedded.sockets import listen, tune

_log = logging.getLogger("barnraise.front")
_RECORD_CHECK_SECONDS = 30.0
_PARTING_SECONDS = 2.0
_LOCK_SECONDS = 1.0
_BUSY_BYTES = 16 * 1024


class Front:
    def __init__(self, order: FrontOrder, context: ssl.SSLContext) -> None:
        self._order = order
        self._context = context
        self._gate = Gate(order.gate)
        self._guests: set[asyncio.Task[None]] = set()

    async def serve(self, listeners: list[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        ending = asyncio.Event()
        if sys.platform != "win32":
            loop.add_signal_handler(signal.SIGTERM, ending.set)
        tasks = [asyncio.create_task(self._accept(listener)) for listener in listeners]
        try:
            while not ending.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ending.wait(), _RECORD_CHECK_SECONDS)
                # As PostgreSQL does when its postmaster.pid is gone: somebody deleted the project.
                record = FrontRecord.read(Path(self._order.record))
                if record is None or record.pid != os.getpid():
                    break
        finally:
            for task in (*tasks, *self._guests):
                task.cancel()
            await asyncio.gather(*tasks, *self._guests, return_exceptions=True)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, peer = await loop.sock_accept(listener)
            except OSError as error:
                _log.warning("cannot accept: %s", error)
                # Out of descriptors, most likely: they come back when somebody leaves.
                await asyncio.sleep(0.1)
                continue
            guest = asyncio.create_task(self._attend(sock, str(peer[0])))
            self._guests.add(guest)
            guest.add_done_callback(self._guests.discard)

    async def _attend(self, sock: socket.socket, address: str) -> None:
        with sock:
            try:
                tune(sock)
                channel = Channel(sock)
                if len(self._guests) > self._order.max_connections + self._order.gate.half_open:
                    await channel.send(opening.CROWDED)
                    return
                try:
                    await self._gate.enter(address)
                except CrowdedError:
                    await channel.send(opening.CROWDED)
                    return
                await self._converse(channel, loopback=is_loopback(address))
            except (OSError, EOFError, ProtocolError) as error:
                # ssl.SSLError and TimeoutError are OSErrors.
                _log.info("%s: %s: %s", address, type(error).__name__, error)
            finally:
                self._gate.leave()

    async def _converse(self, channel: Channel, *, loopback: bool) -> None:
        async with asyncio.timeout(self._order.handshake_seconds):
            channel, kind, first = await self._greet(channel)
            if not opening.may_pass(kind, encrypted=channel.encrypted, loopback=loopback):
                await self._refuse(channel, opening.TLS_REQUIRED)
                return
            try:
                server = await self._server()
            except OSError as error:
                _log.warning("the server does not answer: %s", error)
                await self._refuse(channel, opening.SERVER_AWAY)
                return
        with server.sock:
            async with asyncio.timeout(self._order.login_seconds) as limit:
                await server.send(first)
                upload = asyncio.create_task(_pump(channel, server))
                try:
                    await self._download(server, channel, limit)
                finally:
                    upload.cancel()
                    await asyncio.gather(upload, return_exceptions=True)
        # Only now: two readers of one channel would take each other's bytes.
        await _part(channel)

    async def _greet(self, channel: Channel) -> tuple[Channel, Opening, bytes]:
        """Answer the requests for encryption; the first message proper is returned, not answered."""
        head = await channel.read_exactly(1)
        if head[0] == opening.TLS_HANDSHAKE:
            channel = await self._encrypt(channel, head)
            if channel.protocol() != opening.ALPN:
                raise ProtocolError("direct TLS without ALPN postgresql")
            head = await channel.read_exactly(1)
        refused_gssenc = False
        while True:
            kind, message = await _read_message(channel, head)
            if kind in (Opening.STARTUP, Opening.CANCEL_REQUEST):
                return channel, kind, message
            if kind is Opening.SSL_REQUEST and not channel.encrypted:
                await channel.send(b"S")
                channel = await self._encrypt(channel)
            elif kind is Opening.GSSENC_REQUEST and not refused_gssenc:
                refused_gssenc = True
                await channel.send(b"N")
            else:
                raise ProtocolError(f"a second {kind}")
            head = await channel.read_exactly(1)

    async def _encrypt(self, channel: Channel, already: bytes = b"") -> TlsChannel:
        encrypted = TlsChannel(channel.sock, self._context, already)
        await encrypted.handshake()
        return encrypted

    async def _server(self) -> Channel:
        with contextlib.ExitStack() as undoing:
            sock = undoing.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            tune(sock)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._order.server_port))
            undoing.pop_all()
        return Channel(sock)

    async def _refuse(self, channel: Channel, answer: bytes) -> None:
        await channel.send(answer)
        await _part(channel)

    async def _download(self, server: Channel, channel: Channel, limit: asyncio.Timeout) -> None:
        watch = LoginWatch()
        while chunk := await _words_of(server):
            if not watch.done:
                watch.feed(chunk)
                if watch.done:
                    limit.reschedule(None)
                    self._gate.leave()
            await channel.send(chunk)
            await _let_others_run(chunk)


async def _words_of(server: Channel) -> memoryview:
    """A server that hangs up on a guest who is still talking resets the connection: for the guest that is its end."""
    try:
        return await server.receive()
    except ConnectionError:
        return memoryview(b"")


async def _read_message(channel: Channel, head: bytes) -> tuple[Opening, bytes]:
    header = head + await channel.read_exactly(opening.HEADER_BYTES - len(head))
    kind, length = opening.read_header(header)
    return kind, header + await channel.read_exactly(length - opening.HEADER_BYTES)


async def _pump(source: Channel, sink: Channel) -> None:
    try:
        while chunk := await source.receive():
            await sink.send(chunk)
            await _let_others_run(chunk)
    finally:
        # However the guest left, the server hears that nothing more will come and ends the session.
        with contextlib.suppress(OSError):
            await sink.end()


async def _let_others_run(chunk: memoryview) -> None:
    """Socket calls that succeed at once never yield; without this a large transfer would stop everybody else."""
    if len(chunk) >= _BUSY_BYTES:
        await asyncio.sleep(0)


async def _part(channel: Channel) -> None:
    """Closing with unread bytes resets the connection and takes our last words with it, so read them first."""
    # A guest who left first is no news, and TimeoutError is an OSError.
    with contextlib.suppress(OSError):
        async with asyncio.timeout(_PARTING_SECONDS):
            await channel.end()
            while await channel.receive():
                pass


def tls_context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.num_tickets = 0
    context.set_alpn_protocols([opening.ALPN])
    context.load_cert_chain(certificate, key)
    return context


def _log_to(path: str) -> None:
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=1_000_000, backupCount=2, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _allow_many_descriptors() -> None:
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def run(order: FrontOrder) -> int:
    """Everything that needs our caller's rights comes first; the rest runs as the server's account."""
    # Whoever asks whether a front lives holds the lock for a moment.
    lock = take_within(Path(order.lock), _LOCK_SECONDS)
    if lock is None:
        return 0

    def record(error: str | None = None, *, address_in_use: bool = False) -> None:
        text = FrontRecord(pid=os.getpid(), order=order.dump(), error=error, address_in_use=address_in_use).dump()
        write_file(Path(order.record), text, account=order.account)

    _allow_many_descriptors()
    try:
        context = tls_context(order.certificate, order.key)
    except OSError as error:
        record(f"certificate {order.certificate}: {error}")
        return 1
    try:
        listeners = listen(order.host, order.port)
    except OSError as error:
        record(str(error), address_in_use=True)
        return 1
    record()
    if order.account is not None:
        drop_privileges(order.account)
    _log_to(order.log)
    _log.info("listening on %s port %d", order.host, order.port)
    try:
        asyncio.run(Front(order, context).serve(listeners))
    finally:
        for listener in listeners:
            listener.close()
    return 0


if __name__ == "__main__":
    sys.exit(run(FrontOrder.load(sys.argv[1])))
