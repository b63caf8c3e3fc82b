"""The states of units, gradients and runs, and the edges allowed between them.

The same edges stand in the guard triggers of the database (`migrations/functions/guard_*.sql`); a test walks every
pair against a real server, so the two cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class UnitState(StrEnum):
    OPEN = "open"
    LEASED = "leased"
    SUBMITTED = "submitted"
    MERGED = "merged"
    FAILED = "failed"
    CANCELLED = "cancelled"


class GradientState(StrEnum):
    UPLOADING = "uploading"
    SUBMITTED = "submitted"
    MERGED = "merged"
    REJECTED = "rejected"
    DISCARDED = "discarded"


class RunState(StrEnum):
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    FAILED = "failed"


UNIT_EDGES: Final[Mapping[UnitState, frozenset[UnitState]]] = {
    UnitState.OPEN: frozenset({UnitState.LEASED, UnitState.CANCELLED}),
    # leased -> leased: an expired lease passes straight to the next worker, as a new attempt.
    UnitState.LEASED: frozenset(
        {UnitState.OPEN, UnitState.LEASED, UnitState.SUBMITTED, UnitState.FAILED, UnitState.CANCELLED}
    ),
    # submitted -> open: the gradient was rejected, and the samples must be computed again.
    UnitState.SUBMITTED: frozenset({UnitState.OPEN, UnitState.MERGED, UnitState.FAILED, UnitState.CANCELLED}),
    UnitState.MERGED: frozenset(),
    UnitState.FAILED: frozenset(),
    UnitState.CANCELLED: frozenset(),
}

GRADIENT_EDGES: Final[Mapping[GradientState, frozenset[GradientState]]] = {
    GradientState.UPLOADING: frozenset({GradientState.SUBMITTED, GradientState.DISCARDED}),
    GradientState.SUBMITTED: frozenset({GradientState.MERGED, GradientState.REJECTED, GradientState.DISCARDED}),
    GradientState.MERGED: frozenset(),
    GradientState.REJECTED: frozenset(),
    GradientState.DISCARDED: frozenset(),
}

RUN_EDGES: Final[Mapping[RunState, frozenset[RunState]]] = {
    RunState.CREATED: frozenset({RunState.RUNNING, RunState.FAILED}),
    RunState.RUNNING: frozenset({RunState.PAUSED, RunState.FINISHED, RunState.FAILED}),
    RunState.PAUSED: frozenset({RunState.RUNNING, RunState.FINISHED, RunState.FAILED}),
    # A finished run may be given more epochs; a failed one may be mended and started again.
    RunState.FINISHED: frozenset({RunState.RUNNING}),
    RunState.FAILED: frozenset({RunState.RUNNING}),
}
