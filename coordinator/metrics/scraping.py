"""What a scrape is answered with: a look at the ledger that many scrapes share."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from contract.errors import DatabaseError
from coordinator.metrics.families import families, up
from coordinator.metrics.readings import read

_KEPT_SECONDS: Final = 1.0
# A look that takes longer is kept for longer.
_LARGEST_SHARE: Final = 0.1


# A registry keeps it in a set.
@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Found(Collector):
    metrics: tuple[Metric, ...]

    def collect(self) -> Iterable[Metric]:
        return self.metrics


_AWAY: Final = Found((up(False),))


def look(engine: Engine, *, per_volunteer: bool = False) -> Found:
    """A database that is away is an answer too: alerts are made of it."""
    began = time.monotonic()
    try:
        # All figures of one moment.
        with engine.connect().execution_options(isolation_level="REPEATABLE READ") as conn:
            found = tuple(families(read(conn, per_volunteer=per_volunteer)))
    except DatabaseError:
        return _AWAY
    took = GaugeMetricFamily("barnraise_read_seconds", "That it took to read all this.", value=time.monotonic() - began)
    return Found((up(True), *found, took))


class Scraping:
    """One look at a time, and none while the last one is fresh, however many ask. Belongs to one event loop."""

    def __init__(self, engine: Engine, *, per_volunteer: bool = False, patience_seconds: float = 5.0) -> None:
        self._engine, self._per_volunteer, self._patience_seconds = engine, per_volunteer, patience_seconds
        self._looking: asyncio.Task[None] | None = None
        self._found = Found(())
        self._fresh_until = 0.0
        self.num_looks = 0

    def route(self) -> Route:
        return Route("/metrics", self.answer)

    async def answer(self, request: Request) -> Response:
        found = await self._newest()
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        registry = CollectorRegistry()
        registry.register(found)
        return Response(encode(registry), media_type=media_type)

    async def _newest(self) -> Found:
        if self._looking is None and time.monotonic() >= self._fresh_until:
            self._looking = asyncio.create_task(self._look())
        if self._looking is not None:
            # A line that has gone dead keeps a look for minutes; whoever scrapes has seconds, and must hear of it.
            done, _ = await asyncio.wait({self._looking}, timeout=self._patience_seconds)
            if not done:
                return _AWAY
            # A fault of ours must not look like the last answer for ever.
            done.pop().result()
        return self._found

    async def _look(self) -> None:
        began = time.monotonic()
        self.num_looks += 1
        try:
            self._found = await run_in_threadpool(look, self._engine, per_volunteer=self._per_volunteer)
        finally:
            ended = time.monotonic()
            self._fresh_until = ended + max(_KEPT_SECONDS, (ended - began) * (1 / _LARGEST_SHARE - 1))
            self._looking = None
