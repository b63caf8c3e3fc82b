"""A class in one process: the product's own units, codecs, rules, steps and staleness, and simulated arrival."""

from __future__ import annotations

import collections
import dataclasses
import heapq
import math
import random
from collections.abc import Sequence
from typing import Final

from contract.ids import GradientId, Version, WorkerId
from coordinator.planning import Pool
from coordinator.staleness import Paces, Policy, Submission
from coordinator.step import TrainingState
from coordinator.training_local import Contributed, LocalRun

# A laptop does not take the same time for every unit: the standard deviation of its logarithm.
_JITTER: Final = 0.1


@dataclasses.dataclass(slots=True, kw_only=True)
class Traffic:
    """What went over the wire, and how stale each gradient was that was merged."""

    num_exchanges: int = 0
    sent_bytes: int = 0
    fetched_bytes: int = 0
    num_refused: int = 0
    staleness: list[int] = dataclasses.field(default_factory=list)

    def count(self, contributed: Contributed) -> None:
        self.num_exchanges += 1
        self.sent_bytes += len(contributed.blob)

    def count_version(self, state: TrainingState, num_workers: int) -> None:
        """Every worker follows."""
        self.fetched_bytes += num_workers * (sum(map(len, state.delta)) or len(state.weights_blob))


def in_rounds(run: LocalRun, *, num_units: int, num_workers: int) -> Traffic:
    """Each worker one unit an update, all of them fresh."""
    traffic = Traffic()
    feedbacks = [run.blank_feedback() for _ in range(num_workers)]
    for first in range(0, num_units, num_workers):
        numbers = range(first, min(first + num_workers, num_units))
        contributed = [run.contribution(number, feedback) for number, feedback in zip(numbers, feedbacks, strict=False)]
        for one in contributed:
            traffic.count(one)
        run.merge(contributed)
        traffic.count_version(run.state, num_workers)
    traffic.staleness = [0] * num_units
    return traffic


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Claimed:
    worker: WorkerId
    contributed: Contributed
    base: Version


class AsTheyCome:
    """The pool of an asynchronous run, where each worker computes one unit and has claimed the next.

    A claim fixes the version, so a gradient is computed here when it is claimed, and lies until its time has come: no
    old weights need be kept. A merge takes no time.
    """

    def __init__(
        self, run: LocalRun, *, speeds: Sequence[float], per_update: int, policy: Policy, seed: int = 0
    ) -> None:
        self._run = run
        self._per_update = per_update
        self._policy = policy
        self._speeds = {WorkerId(number): speed for number, speed in enumerate(speeds)}
        self._feedbacks = {worker: run.blank_feedback() for worker in self._speeds}
        self._paces = Paces()
        self._random = random.Random(seed)  # noqa: S311
        self._pool = Pool(num_units=1 << 62)
        self._traffic = Traffic()

    def train(self, num_units: int) -> Traffic:
        """Until so many are merged; what is refused is computed again."""
        due = [(self._seconds(worker), worker) for worker in self._speeds]
        heapq.heapify(due)
        held = {worker: collections.deque([self._claim(worker), self._claim(worker)]) for worker in self._speeds}
        waiting: dict[GradientId, _Claimed] = {}
        while len(self._traffic.staleness) < num_units:
            now, worker = heapq.heappop(due)
            heapq.heappush(due, (now + self._seconds(worker), worker))
            done = held[worker].popleft()
            self._traffic.count(done.contributed)
            gradient = GradientId(self._traffic.num_exchanges)
            waiting[gradient] = done
            self._paces.see([Submission(gradient=gradient, worker=worker, at=now)])
            # The next one begins, and another is claimed, while this one is on its way.
            held[worker].append(self._claim(worker))
            self._merge(waiting)
        return self._traffic

    def _claim(self, worker: WorkerId) -> _Claimed:
        [number] = self._pool.take(1)
        contributed = self._run.contribution(number, self._feedbacks[worker])
        return _Claimed(worker=worker, contributed=contributed, base=Version(self._run.state.step))

    def _merge(self, waiting: dict[GradientId, _Claimed]) -> None:
        head, speeds = Version(self._run.state.step), self._paces.speeds()
        judged = {
            gradient: self._policy.judge(base=one.base, head=head, speed=speeds.get(one.worker, 1.0))
            for gradient, one in waiting.items()
        }
        for gradient, found in judged.items():
            if found.verdict is not None:
                contributed = waiting.pop(gradient).contributed
                contributed.feedback.give_back(contributed.number)
                self._pool.put_back([contributed.number])
                self._traffic.num_refused += 1
        if len(waiting) < self._per_update:
            return
        self._run.merge(
            [one.contributed for one in waiting.values()],
            {one.contributed.number: judged[gradient].share for gradient, one in waiting.items()},
        )
        self._traffic.count_version(self._run.state, len(self._speeds))
        self._traffic.staleness += [judged[gradient].staleness for gradient in waiting]
        waiting.clear()

    def _seconds(self, worker: WorkerId) -> float:
        return math.exp(self._random.gauss(0.0, _JITTER)) / self._speeds[worker]
