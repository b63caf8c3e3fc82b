"""Serves the page until it is told to stop."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import uvicorn
from sqlalchemy import Engine
from starlette.routing import BaseRoute
from starlette.types import Scope

from contract.errors import AddressInUse, BarnraiseError
from coordinator.dashboard.access import Access
from coordinator.dashboard.app import build
from coordinator.dashboard.archive import Archive
from coordinator.dashboard.reader import Look, Reader
from coordinator.dashboard.sections import Looking
from coordinator.dashboard.streams import SLOWEST_SECONDS
from coordinator.embedded import sockets

_GOODBYE_SECONDS: Final = 2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """`listeners` are open from the beginning: that a port is taken is said before anything else happens."""

    engine: Engine
    listeners: Sequence[socket.socket]
    access: Access
    chosen: str | None = None
    pooler: bool = False
    look: Look = dataclasses.field(default_factory=Looking)
    slowest_seconds: float = SLOWEST_SECONDS
    more_routes: Sequence[BaseRoute] = ()

    def run(self, stop: threading.Event, *, ready: Callable[[], None] = lambda: None) -> None:
        """In this thread. Signals are the caller's business, who sets `stop`."""
        fallen = threading.Event()

        def fall() -> None:
            fallen.set()
            server.should_exit = True

        reader = Reader(self.engine, self.look, pooler=self.pooler, on_fall=fall)
        app = build(
            reader=reader, archive=Archive(self.engine), access=self.access, chosen=self.chosen,
            drop=lambda scope: server.drop(scope), slowest_seconds=self.slowest_seconds, more_routes=self.more_routes,
        )  # fmt: skip
        config = uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, ws="none", lifespan="on", proxy_headers=False,
            timeout_graceful_shutdown=_GOODBYE_SECONDS,
        )  # fmt: skip
        server = _Server(config, reader=reader, ready=ready)
        # Requests that are none are nobody's business.
        logging.getLogger("uvicorn").setLevel(logging.ERROR)
        ender = threading.Thread(target=_end_when_told, args=(stop, server), name="dashboard's end", daemon=True)
        ender.start()
        server.run(sockets=list(self.listeners))
        if fallen.is_set():
            raise BarnraiseError("what reads the database for the page has ended by a fault of its own, told above")


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, *, reader: Reader, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._reader, self._ready = reader, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._reader.end_streams()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """They are left alone."""
        yield

    def drop(self, scope: Scope) -> None:
        """At once, with what was not sent yet."""
        for connection in list(self.server_state.connections):
            if connection.client == tuple(scope["client"]):  # type: ignore[union-attr]
                connection.transport.abort()


def _end_when_told(stop: threading.Event, server: uvicorn.Server) -> None:
    stop.wait()
    server.should_exit = True


def listen(host: str, port: int) -> list[socket.socket]:
    try:
        return sockets.listen(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(
                f"another program listens at {host} port {port}; choose another port with --port or "
                "coordinator.dashboard_port"
            ) from error
        raise AddressInUse(f"the page cannot be served at {host} port {port}: {error.strerror or error}") from error
