"""Server-sent events: what is known at first, then what changes, for as long as the viewer reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from coordinator.dashboard.channels import Channel

# A proxy takes a line that says nothing for dead after a minute.
_STILL_HERE_SECONDS: Final = 15.0
# Who cannot take some kilobytes in this time gets no more; the page comes back by itself.
SLOWEST_SECONDS: Final = 20.0
_COME_BACK_MILLISECONDS: Final = 1000

Drop = Callable[[Scope], None]


class Stream(Response):
    """`drop` cuts a line that does not take what is sent: to close it in good order would wait for the viewer."""

    def __init__(self, channel: Channel, *, drop: Drop, slowest_seconds: float = SLOWEST_SECONDS) -> None:
        super().__init__(media_type="text/event-stream")
        self._channel, self._drop, self._slowest_seconds = channel, drop, slowest_seconds
        self._revision = 0
        del self.headers["content-length"]
        self.headers["Cache-Control"] = "no-store"
        # Else nginx collects what should be live.
        self.headers["X-Accel-Buffering"] = "no"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._channel.num_viewers += 1
        gone = asyncio.ensure_future(_until_gone(receive))
        telling = asyncio.ensure_future(self._tell(send))
        try:
            await asyncio.wait({gone, telling}, return_when=asyncio.FIRST_COMPLETED)
            if telling.done() and isinstance(telling.exception(), TimeoutError):
                self._drop(scope)
        finally:
            self._channel.num_viewers -= 1
            for task in (gone, telling):
                task.cancel()
            await asyncio.gather(gone, telling, return_exceptions=True)

    async def _tell(self, send: Send) -> None:
        await self._sent(send, {"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await self._body(send, f"retry: {_COME_BACK_MILLISECONDS}\n\n".encode())
        while not self._channel.is_closed:
            if await self._channel.wait(self._revision, seconds=_STILL_HERE_SECONDS):
                news, self._revision = self._channel.since(self._revision), self._channel.revision
                await self._body(send, b"event: news\ndata: " + news + b"\n\n")
            else:
                await self._body(send, b"event: still\ndata: {}\n\n")
        await self._sent(send, {"type": "http.response.body", "body": b""})

    async def _body(self, send: Send, body: bytes) -> None:
        await self._sent(send, {"type": "http.response.body", "body": body, "more_body": True})

    async def _sent(self, send: Send, message: Message) -> None:
        async with asyncio.timeout(self._slowest_seconds):
            await send(message)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
