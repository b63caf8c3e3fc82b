"""Serves the page until it is told to stop."""

from __future__ import annotations

import dataclasses
import errno
import logging
import socket
import threading
from collections.abc import Callable, Sequence

import uvicorn
from sqlalchemy import Engine
from starlette.routing import BaseRoute
from starlette.types import Scope

from contract.errors import AddressInUse
from coordinator.dashboard.access import Access
from coordinator.dashboard.app import build
from coordinator.dashboard.archive import Archive
from coordinator.dashboard.reader import Reader
from coordinator.dashboard.sections import Look

_GOODBYE_SECONDS = 2
_MOST_WAITING = 512


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """`host` and `port` are listened on from the beginning: a port that is taken is said before anything else happens."""

    engine: Engine
    listener: socket.socket
    access: Access
    pooler: bool = False
    more_routes: Sequence[BaseRoute] = ()

    def run(self, stop: threading.Event, *, ready: Callable[[], None] = lambda: None) -> None:
        """In this thread. Signals are the caller's business, who sets `stop`."""
        server = _Server(
            uvicorn.Config(
                build(
                    reader=Reader(self.engine, Look(), pooler=self.pooler), archive=Archive(self.engine),
                    access=self.access, drop=lambda scope: server.drop(scope), more_routes=self.more_routes,
                ),
                log_config=None, access_log=False, server_header=False, ws="none", lifespan="on",
                timeout_graceful_shutdown=_GOODBYE_SECONDS, proxy_headers=False,
            )
        )  # fmt: skip
        # What goes wrong between it and one viewer is nobody else's business.
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
        threading.Thread(target=_tell_to_end, args=(stop, server), name="dashboard's end", daemon=True).start()
        server.serve_until_told(self.listener, ready)


class _Server(uvicorn.Server):
    def serve_until_told(self, listener: socket.socket, ready: Callable[[], None]) -> None:
        self._ready = ready
        self.run(sockets=[listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    def install_signal_handlers(self) -> None:
        """The command has its own."""

    def drop(self, scope: Scope) -> None:
        """At once, with what was not sent yet."""
        for connection in list(self.server_state.connections):
            if connection.client == tuple(scope["client"]):  # type: ignore[union-attr]
                connection.transport.abort()  # type: ignore[union-attr]


def _tell_to_end(stop: threading.Event, server: uvicorn.Server) -> None:
    stop.wait()
    server.should_exit = True


def listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if hasattr(socket, "SO_REUSEADDR") and hasattr(socket, "AF_UNIX"):
            # A port whose server has only just stopped is free; on Windows the option would mean "steal it".
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_MOST_WAITING)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(
                f"another program listens at {host} port {port}; choose a port with --port, or coordinator.dashboard_port"
            ) from error
        raise AddressInUse(f"the page cannot be served at {host} port {port}: {error.strerror}") from error
    return listener
