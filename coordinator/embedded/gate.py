"""How many strangers may stand half-way through the door.

A newcomer always gets in: when the places are taken, the one who has stood there longest is sent away, but nobody
before a fair time. So neither fifty stalled handshakes nor a whole class behind one address shut anybody out.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time

from coordinator.embedded.front_order import GateLimits


class CrowdedError(Exception):
    """Too many wait already."""


@dataclasses.dataclass(slots=True, eq=False)
class _Place:
    address: str
    since: float
    task: asyncio.Task[object]


class Gate:
    def __init__(self, limits: GateLimits) -> None:
        self._limits = limits
        # In order of arrival, so the first is the oldest.
        self._places: dict[asyncio.Task[object], _Place] = {}
        self._waiting: dict[str, int] = {}
        self._changed = asyncio.Event()

    async def enter(self, address: str) -> None:
        """Take a place for the current task; it may be cancelled from here until it calls `leave`."""
        task = asyncio.current_task()
        assert task is not None
        if self._obstacle(address) is not None:
            await self._wait(address)
        self._places[task] = _Place(address, time.monotonic(), task)

    def leave(self) -> None:
        task = asyncio.current_task()
        if task is not None and self._places.pop(task, None) is not None:
            self._changed.set()

    async def _wait(self, address: str) -> None:
        here = self._waiting.get(address, 0)
        if sum(self._waiting.values()) >= self._limits.waiting or here >= self._limits.waiting_per_address:
            raise CrowdedError
        self._waiting[address] = here + 1
        try:
            while (oldest := self._obstacle(address)) is not None:
                fair_until = oldest.since + self._limits.fair_seconds
                if time.monotonic() >= fair_until:
                    del self._places[oldest.task]
                    oldest.task.cancel()
                    continue
                self._changed.clear()
                try:
                    await asyncio.wait_for(self._changed.wait(), fair_until - time.monotonic())
                except TimeoutError:
                    continue
        finally:
            self._waiting[address] -= 1
            if not self._waiting[address]:
                del self._waiting[address]

    def _obstacle(self, address: str) -> _Place | None:
        """The oldest of those who must go before this address gets a place."""
        neighbours = [place for place in self._places.values() if place.address == address]
        if len(neighbours) >= self._limits.half_open_per_address:
            return neighbours[0]
        if len(self._places) >= self._limits.half_open:
            return next(iter(self._places.values()))
        return None
