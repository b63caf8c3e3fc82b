"""How late a gradient may come, and what it is still worth. Pure arithmetic on what the ledger recorded.

Staleness counts the versions published since the claim. So it grows with everybody's speed, and workers of one speed
are all admitted, however many they are.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

from contract.config.training_sections import Staleness
from contract.ids import GradientId, Version, WorkerId
from coordinator.decays import DECAYS, Decay

SUBMISSIONS_KEPT: Final = 10
_FEWEST_SUBMISSIONS: Final = 3
_SLOWEST, _FASTEST = 0.1, 10.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """`share` is what is left of the weight; nothing, where the gradient is refused."""

    staleness: int
    bound: int
    share: float

    @property
    def verdict(self) -> str | None:
        """Why it is refused; None where it is admitted."""
        if self.share > 0.0:
            return None
        behind = "1 version" if self.staleness == 1 else f"{self.staleness} versions"
        if self.staleness > self.bound:
            return f"stale: {behind} behind the head, at most {self.bound} may be"
        return f"stale: {behind} behind the head, where its weight has decayed to nothing"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """As the run was made with it: `staleness` of the configuration."""

    policy: Literal["fixed", "adaptive"]
    max_staleness: int
    min_staleness: int
    max_staleness_multiplier: float
    decay: Decay

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Policy:
        section = Staleness.model_validate(options)
        takes_rate = any(field.name == "rate" for field in dataclasses.fields(DECAYS.get(section.decay)))  # type: ignore[arg-type]
        return cls(
            policy=section.policy,
            max_staleness=section.max_staleness,
            min_staleness=section.min_staleness,
            max_staleness_multiplier=section.max_staleness_multiplier,
            decay=DECAYS.build(section.decay, {"rate": section.decay_rate} if takes_rate else {}),
        )

    def bound(self, speed: float) -> int:
        """`speed` is 1 for a worker like the others, 2 for one twice as fast: the slow are waited for longer."""
        if self.policy == "fixed":
            return self.max_staleness
        highest = self.max_staleness * self.max_staleness_multiplier
        return math.floor(min(max(self.max_staleness / speed, self.min_staleness), highest))

    def judge(self, *, base: Version, head: Version, speed: float = 1.0) -> Freshness:
        staleness, bound = head - base, self.bound(speed)
        share = 0.0 if staleness > bound else self.decay.share(staleness, bound)
        return Freshness(staleness=staleness, bound=bound, share=share)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """`at` in seconds of the database's clock."""

    gradient: GradientId
    worker: WorkerId
    at: float


class Arrival(Protocol):
    """A gradient that waits; `submitted_at` in seconds of the database's clock."""

    @property
    def gradient(self) -> GradientId: ...
    @property
    def worker(self) -> WorkerId: ...
    @property
    def base_version(self) -> Version: ...
    @property
    def submitted_at(self) -> float: ...


class Paces:
    """How fast each worker submits, from its last submissions."""

    def __init__(self, submissions: Iterable[Submission] = ()) -> None:
        self._last: dict[WorkerId, dict[GradientId, float]] = {}
        self.see(submissions)

    def see(self, submissions: Iterable[Submission]) -> None:
        """One that was seen before changes nothing."""
        for submission in submissions:
            last = self._last.setdefault(submission.worker, {})
            last[submission.gradient] = submission.at
            if len(last) > SUBMISSIONS_KEPT:
                del last[min(last, key=last.__getitem__)]

    def speeds(self) -> dict[WorkerId, float]:
        """The median of the workers' mean intervals over each worker's own. Of whoever submitted too little to say,
        nothing is said."""
        intervals = {
            worker: (max(last.values()) - min(last.values())) / (len(last) - 1)
            for worker, last in self._last.items()
            if len(last) >= _FEWEST_SUBMISSIONS
        }
        if not intervals:
            return {}
        median = statistics.median(intervals.values())
        return {
            worker: min(max(median / own, _SLOWEST), _FASTEST) if own > 0.0 else _FASTEST
            for worker, own in intervals.items()
        }


A = TypeVar("A", bound=Arrival)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sifted(Generic[A]):
    """`shares` is what staleness leaves of the weights of the fresh; the stale have a verdict each."""

    fresh: Sequence[A]
    shares: Mapping[GradientId, float]
    stale: Sequence[tuple[A, str]]


def sift(waiting: Sequence[A], *, head: Version, policy: Policy, paces: Paces) -> Sifted[A]:
    speeds: Mapping[WorkerId, float] = {}
    if policy.policy == "adaptive":
        paces.see(Submission(gradient=one.gradient, worker=one.worker, at=one.submitted_at) for one in waiting)
        speeds = paces.speeds()
    fresh: list[A] = []
    shares: dict[GradientId, float] = {}
    stale: list[tuple[A, str]] = []
    for one in waiting:
        # Of a new worker nothing is known yet; were it taken for one like the others, the slow would be refused their
        # first gradients for being slow.
        found = policy.judge(base=one.base_version, head=head, speed=speeds.get(one.worker, _SLOWEST))
        if (verdict := found.verdict) is not None:
            stale.append((one, verdict))
        else:
            fresh.append(one)
            shares[one.gradient] = found.share
    return Sifted(fresh=fresh, shares=shares, stale=stale)
