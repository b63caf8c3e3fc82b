"""A line to the server that is slow in one direction: up."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from tests.servers.server import Server

_BITE_BYTES = 8192


@contextlib.contextmanager
def slow_line(server: Server, *, bytes_per_second: float) -> Iterator[int]:
    """The port on 127.0.0.1 where it begins."""
    ended = threading.Event()

    def carry(source: socket.socket, target: socket.socket, pause: float) -> None:
        with contextlib.suppress(OSError):
            while (bite := source.recv(_BITE_BYTES)) and not ended.wait(pause):
                target.sendall(bite)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        while not ended.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection((server.host, server.port))
            lines.append((client, far))
            for source, target, pause in ((client, far, _BITE_BYTES / bytes_per_second), (far, client, 0.0)):
                thread = threading.Thread(target=carry, args=(source, target, pause))
                thread.start()
                threads.append(thread)

    lines: list[tuple[socket.socket, socket.socket]] = []
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=serve)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            # A listener that is only closed would not wake whoever accepts.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            for line in lines:
                for end in line:
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
            for thread in (accepting, *threads):
                thread.join(10)
            for line in lines:
                for end in line:
                    end.close()
