"""A network that fails on command: a TCP proxy between the processes and their database."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

# Closing with it sends a reset, as a router does that has forgotten the connection.
_RESET = struct.pack("ii", 1, 0)


class Network:
    """`cut` breaks every connection and refuses new ones. `hush` swallows silently: nobody hears of it, and what was
    sent arrives after `heal`, as it does when TCP sends it again."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._flows = threading.Event()
        self._flows.set()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._accept_from(self._listener)

    def cut(self) -> None:
        # close() alone leaves a thread that waits in accept(), and the port open with it.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._break_all()

    def hush(self) -> None:
        self._flows.clear()

    def heal(self) -> None:
        self._flows.set()
        if self._listener.fileno() == -1:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self._accept_from(self._listener)

    def close(self) -> None:
        self.cut()
        self._flows.set()

    def _break_all(self) -> None:
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept_from(self, listener: socket.socket) -> None:
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                guest, _ = listener.accept()
                threading.Thread(target=self._connect, args=(guest,), daemon=True).start()

    def _connect(self, guest: socket.socket) -> None:
        self._flows.wait()
        try:
            server = socket.create_connection(self._target)
        except OSError:
            guest.close()
            return
        with self._lock:
            self._sockets |= {guest, server}
        for source, sink in ((guest, server), (server, guest)):
            threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(65536):
                self._flows.wait()
                sink.sendall(content)
            sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def network_to(host: str, port: int) -> Iterator[Network]:
    with contextlib.closing(Network(host, port)) as network:
        yield network
