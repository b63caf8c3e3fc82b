"""How many gradients of an asynchronous run are accepted, when its workers differ in speed?

A simulation: time passes by arithmetic, so the same numbers come out on every machine. What decides is the product's
own: `coordinator.staleness` sifts what waits, and `worker.foresight` says when a worker claims its next unit.
"""

from __future__ import annotations

import argparse
import dataclasses
import heapq
import random
from collections.abc import Callable, Sequence
from typing import Final

from benchmarks.table import print_table
from contract.config.training_sections import Staleness
from contract.ids import GradientId, Version, WorkerId
from coordinator.staleness import Paces, Policy, sift
from worker.foresight import Foresight

CLASSES: Final = ((1.0, 1.0, 1.0, 1.0), (2.0, 1.0, 0.5, 0.2, 0.1), (10.0, 1.0, 0.1))
POLICIES: Final = (("adaptive", 50), *(("fixed", bound) for bound in (5, 10, 50, 500)))
TARGET: Final = 0.99
# In units of the time that a worker of speed 1 takes for a work unit.
_CLAIM_TIME: Final = 0.02
_UPLOAD_TIME: Final = 0.02
_MERGE_TIME: Final = 0.02
_UNSTEADY: Final = 0.1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gradient:
    gradient: GradientId
    worker: WorkerId
    base_version: Version
    submitted_at: float


@dataclasses.dataclass(slots=True, kw_only=True)
class Tally:
    """Of one worker."""

    num_merged: int = 0
    num_stale: int = 0
    staleness: int = 0

    @property
    def share_accepted(self) -> float:
        return self.num_merged / max(1, self.num_merged + self.num_stale)


class Class:
    """Workers of these speeds, and a coordinator that merges whenever enough is fresh."""

    def __init__(self, speeds: Sequence[float], policy: Policy, *, num_gradients: int, seed: int = 0) -> None:
        self._speeds = speeds
        self._policy = policy
        self._num_gradients = num_gradients
        self._paces = Paces()
        self._foresights = [Foresight() for _ in speeds]
        self._random = random.Random(seed)  # noqa: S311  nothing is kept secret by it
        self._now = 0.0
        self._plans: list[tuple[float, int, Callable[[], None]]] = []
        self._num_plans = 0
        self._head = Version(0)
        self._num_submitted = 0
        self._waiting: list[Gradient] = []
        self._is_merging = False
        self._claimed: list[Version | None] = [None for _ in speeds]
        self._is_idle = [True for _ in speeds]
        self.tallies = [Tally() for _ in speeds]

    def run(self, until: float) -> list[Tally]:
        for worker in range(len(self._speeds)):
            self._claim(worker)
        while self._plans[0][0] <= until:
            self._now, _, happen = heapq.heappop(self._plans)
            happen()
        return self.tallies

    def _after(self, seconds: float, happen: Callable[[], None]) -> None:
        self._num_plans += 1
        heapq.heappush(self._plans, (self._now + seconds, self._num_plans, happen))

    def _claim(self, worker: int) -> None:
        base = self._head

        def arrived() -> None:
            self._foresights[worker].claimed(_CLAIM_TIME)
            self._claimed[worker] = base
            if self._is_idle[worker]:
                self._begin(worker)

        self._after(_CLAIM_TIME, arrived)

    def _begin(self, worker: int) -> None:
        base = self._claimed[worker]
        if base is None:
            self._is_idle[worker] = True
            return
        self._is_idle[worker], self._claimed[worker] = False, None
        seconds = self._random.uniform(1 - _UNSTEADY, 1 + _UNSTEADY) / self._speeds[worker]
        self._after(self._foresights[worker].pause(), lambda: self._claim(worker))

        def computed() -> None:
            self._foresights[worker].computed(seconds)
            self._after(_UPLOAD_TIME, lambda: self._submit(worker, base))
            self._begin(worker)

        self._after(seconds, computed)

    def _submit(self, worker: int, base: Version) -> None:
        self._num_submitted += 1
        self._waiting.append(
            Gradient(
                gradient=GradientId(self._num_submitted), worker=WorkerId(worker), base_version=base,
                submitted_at=self._now,
            )
        )  # fmt: skip
        self._look()

    def _look(self) -> None:
        if self._is_merging:
            return
        sifted = sift(self._waiting, head=self._head, policy=self._policy, paces=self._paces)
        for gradient, _ in sifted.stale:
            self.tallies[gradient.worker].num_stale += 1
        self._waiting = list(sifted.fresh)
        if len(self._waiting) >= self._num_gradients:
            merged, self._waiting, self._is_merging = self._waiting, [], True
            self._after(_MERGE_TIME, lambda: self._publish(merged))

    def _publish(self, merged: Sequence[Gradient]) -> None:
        for gradient in merged:
            tally = self.tallies[gradient.worker]
            tally.num_merged += 1
            tally.staleness += self._head - gradient.base_version
        self._head = Version(self._head + 1)
        self._is_merging = False
        self._look()


def policy_of(policy: str, max_staleness: int) -> Policy:
    options = Staleness().model_dump()
    smallest = min(options["min_staleness"], max_staleness)
    return Policy.of({**options, "policy": policy, "max_staleness": max_staleness, "min_staleness": smallest})


def measure(speeds: Sequence[float], policy: Policy, *, num_gradients: int, until: float) -> list[Tally]:
    return Class(speeds, policy, num_gradients=num_gradients).run(until)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.acceptance", description=__doc__)
    parser.add_argument("--until", type=float, default=1000.0, help="units of a worker of speed 1")
    parser.add_argument("--gradients", type=int, default=1, help="in an update")
    given = parser.parse_args(arguments)
    lines = []
    for speeds in CLASSES:
        for name, bound in POLICIES:
            tallies = measure(speeds, policy_of(name, bound), num_gradients=given.gradients, until=given.until)
            lines.append([", ".join(f"{speed:g}" for speed in speeds), f"{name} {bound}", *_cells(tallies)])
    header = ("speeds", "bound", "accepted", "by worker", "mean staleness by worker")
    notes = [f"{given.gradients} gradient(s) an update, {given.until:g} units of a worker of speed 1, simulated."]
    print_table("Gradients accepted in an asynchronous run", header, lines, notes)


def _cells(tallies: Sequence[Tally]) -> list[str]:
    num_merged = sum(tally.num_merged for tally in tallies)
    num_stale = sum(tally.num_stale for tally in tallies)
    return [
        f"{num_merged / (num_merged + num_stale):.3f}",
        ", ".join(f"{tally.share_accepted:.3f}" for tally in tallies),
        ", ".join(f"{tally.staleness / max(1, tally.num_merged):.1f}" for tally in tallies),
    ]


if __name__ == "__main__":
    main()
