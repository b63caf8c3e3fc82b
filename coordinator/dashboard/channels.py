"""What is known of a run by now, and who waits for news of it.

A viewer is no queue: it holds the number of the last news that it was sent, and what it is sent next is whatever has
changed since. So one who reads slowly misses what was in between, and costs nothing meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import json
import math
import time
from collections.abc import Mapping
from typing import Any, Final

Json = dict[str, Any] | list[Any]
LINK: Final = "link"
_FRESH_SECONDS: Final = 5.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Section:
    revision: int
    body: bytes


class Channel:
    """Everything but `num_viewers` belongs to the event loop's thread."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.num_viewers = 0
        self.revision = 0
        self.is_closed = False
        self._sections: dict[str, _Section] = {}
        self._news = asyncio.Event()
        self._looked = asyncio.Event()
        self._looked_at = -math.inf

    def publish(self, sections: Mapping[str, bytes]) -> None:
        """Those that say something new."""
        self._looked_at = time.monotonic()
        self._looked.set()
        self._looked = asyncio.Event()
        changed = {
            name: body
            for name, body in sections.items()
            if name not in self._sections or self._sections[name].body != body
        }
        if not changed:
            return
        self.revision += 1
        for name, body in changed.items():
            self._sections[name] = _Section(revision=self.revision, body=body)
        self._news.set()
        self._news = asyncio.Event()

    def close(self) -> None:
        """Whoever waits for news goes home."""
        self.is_closed = True
        self._news.set()
        self._looked.set()

    def since(self, revision: int) -> bytes:
        """As one JSON object, with the time at which it was put together."""
        named = [
            json.dumps(name).encode() + b":" + section.body
            for name, section in self._sections.items()
            if section.revision > revision
        ]
        now = json.dumps(datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")).encode()
        return b"{" + b",".join([b'"now":' + now, *named]) + b"}"

    async def refreshed(self, *, patience_seconds: float) -> None:
        """After a look that is not older than some seconds: while nobody wanted to see, nobody looked."""
        if time.monotonic() - self._looked_at > _FRESH_SECONDS:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_seconds):
                    await self._looked.wait()

    async def wait(self, revision: int, *, seconds: float) -> bool:
        """Whether there is news since then; at the latest after so many seconds."""
        if self.revision == revision:
            try:
                async with asyncio.timeout(seconds):
                    await self._news.wait()
            except TimeoutError:
                return False
        return True


def encoded(value: Json) -> bytes:
    """As every browser reads it: no infinities, times in UTC. Five digits are more than a screen shows."""
    return json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {str(name): _plain(one) for name, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case float():
            return float(f"{value:.5g}") if math.isfinite(value) else None
        case datetime.datetime():
            return value.astimezone(datetime.UTC).isoformat(timespec="milliseconds")
        case datetime.timedelta():
            return value.total_seconds()
        case bytes():
            return value.hex()
        case _:
            return value
