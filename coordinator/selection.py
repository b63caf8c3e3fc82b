"""Which of the gradients that wait make the next version, and when it is time to make it of fewer than were wanted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from contract.ids import GradientId, Version
from coordinator.leadership import Leadership
from coordinator.ledger import gradients, units
from coordinator.ledger.gradients import WaitingGradient
from coordinator.living_run import LivingRun
from coordinator.staleness import sift


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """A deadline has passed, and there is still not enough to make a version of."""

    head: Version
    seconds: float
    deadline_seconds: float
    problem: str
    num_workers: int

    @property
    def num_deadlines(self) -> int:
        """How many have passed: a reminder with each is enough."""
        return int(self.seconds // self.deadline_seconds)

    def __str__(self) -> str:
        here = {0: "no worker is", 1: "1 worker is"}.get(self.num_workers, f"{self.num_workers} workers are")
        return (
            f"no new version for {self.seconds:.0f} s (training.round_deadline {self.deadline_seconds:g}): "
            f"{self.problem}; {here} here, and the run waits on"
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """No gradients: not yet; `early` are those that wait for more. `freshness` is what staleness left of some
    weights."""

    gradients: Sequence[WaitingGradient] = ()
    early: Sequence[WaitingGradient] = ()
    freshness: Mapping[GradientId, float] = dataclasses.field(default_factory=dict)
    refused: tuple[str, ...] = ()
    overdue: Overdue | None = None
    # How a round ended that was closed by its deadline: the reason for which the rest is cancelled.
    closed_because: str | None = None


def select(conn: Connection, living: LivingRun, leadership: Leadership, *, deadline_seconds: float) -> Selection:
    if living.mode == "async":
        return _of_the_pool(conn, living, leadership, deadline_seconds)
    return _of_the_round(conn, living, leadership, deadline_seconds)


def _of_the_round(conn: Connection, living: LivingRun, leadership: Leadership, deadline_seconds: float) -> Selection:
    waiting = gradients.waiting_gradients(conn, run=living.run)
    late = [gradient.gradient for gradient in waiting if gradient.base_version != living.head]
    if late:
        # To a leader who slept through other people's rounds all gradients look late.
        leadership.require(conn)
        verdict = f"late: the round of its version was closed, the head is {living.head}"
        living.put_back(conn, gradients.discard_late(conn, gradients=late, verdict=verdict))
    waiting = [gradient for gradient in waiting if gradient.base_version == living.head]
    needed = _needed(conn, living)
    if len(waiting) >= needed and living.how.recipe.problem(needed) is None:
        return Selection(gradients=waiting[:needed])
    age = units.round_age(conn, run=living.run, version=living.head)
    if age < deadline_seconds:
        return Selection(early=waiting)
    if overdue := _overdue(conn, living, waiting, age, deadline_seconds):
        return Selection(overdue=overdue)
    usable = waiting[: living.how.recipe.most_up_to(len(waiting))]
    found = f"{len(usable)} of {needed} gradients"
    reason = f"late: the round of version {living.head} closed after {age:.0f} s with {found}"
    return Selection(gradients=usable, closed_because=reason)


def _of_the_pool(conn: Connection, living: LivingRun, leadership: Leadership, deadline_seconds: float) -> Selection:
    """Whatever is fresh enough, once it is enough: where more wait than an update needs, they would only grow older.

    Here the deadline says how long a gradient waits for others.
    """
    waiting = gradients.waiting_gradients(conn, run=living.run)
    sifted = sift(waiting, head=living.head, policy=living.staleness, paces=living.paces)
    for gradient, verdict in sifted.stale:
        leadership.require(conn)
        gradients.refuse_stale(conn, gradient=gradient.gradient, verdict=verdict)
    fresh, freshness = sifted.fresh, sifted.shares
    refused = tuple(verdict for _, verdict in sifted.stale)
    # With some rules one fewer will do where that many will not.
    num_usable = living.how.recipe.most_up_to(len(fresh)) or 0
    usable = fresh[:num_usable]
    if num_usable and num_usable >= _needed(conn, living):
        return Selection(gradients=usable, freshness=freshness, refused=refused)
    longest = max((gradient.waited_seconds for gradient in fresh), default=0.0)
    if longest < deadline_seconds:
        return Selection(early=fresh, refused=refused)
    overdue = _overdue(conn, living, fresh, longest, deadline_seconds)
    return Selection(gradients=() if overdue else usable, freshness=freshness, refused=refused, overdue=overdue)


def _needed(conn: Connection, living: LivingRun) -> int:
    """At the end of the last epoch an update may be smaller than the others, as far as the rule allows."""
    if living.pool.is_empty:
        left = min(living.num_gradients, units.count_unfinished(conn, run=living.run))
        return living.how.recipe.most_up_to(left) or living.num_gradients
    return living.num_gradients


def _overdue(
    conn: Connection, living: LivingRun, waiting: Sequence[WaitingGradient], seconds: float, deadline_seconds: float
) -> Overdue | None:
    if living.how.recipe.most_up_to(len(waiting)) is not None:
        return None
    problem = living.how.recipe.problem(len(waiting)) if waiting else "no gradient has come"
    assert problem is not None, "what has no problem is its own largest number that will do"
    return Overdue(
        head=living.head,
        seconds=seconds,
        deadline_seconds=deadline_seconds,
        problem=problem,
        num_workers=units.count_workers(conn, run=living.run),
    )
