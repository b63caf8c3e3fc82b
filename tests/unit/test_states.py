"""States are edge lists: complete, connected, and with ends that are ends."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import pytest

from contract.states import GRADIENT_EDGES, RUN_EDGES, UNIT_EDGES, GradientState, RunState, UnitState

KINDS: list[tuple[type[StrEnum], Mapping[StrEnum, frozenset[StrEnum]]]] = [
    (UnitState, dict(UNIT_EDGES.items())),
    (GradientState, dict(GRADIENT_EDGES.items())),
    (RunState, dict(RUN_EDGES.items())),
]


@pytest.mark.parametrize(("states", "edges"), KINDS)
def test_every_state_has_its_edges(states: type[StrEnum], edges: Mapping[StrEnum, frozenset[StrEnum]]) -> None:
    assert list(edges) == list(states)
    assert frozenset().union(*edges.values()) <= set(states)


@pytest.mark.parametrize(("states", "edges"), KINDS)
def test_every_state_can_be_reached_from_the_first(
    states: type[StrEnum], edges: Mapping[StrEnum, frozenset[StrEnum]]
) -> None:
    reached = {next(iter(states))}
    while (further := reached.union(*(edges[state] for state in reached))) != reached:
        reached = further
    assert reached == set(states)


def test_the_ends_of_units_and_gradients_are_ends() -> None:
    assert {state for state in UnitState if not UNIT_EDGES[state]} == {
        UnitState.MERGED,
        UnitState.FAILED,
        UnitState.CANCELLED,
    }
    assert {state for state in GradientState if not GRADIENT_EDGES[state]} == {
        GradientState.MERGED,
        GradientState.REJECTED,
        GradientState.DISCARDED,
    }


def test_a_run_can_always_go_on() -> None:
    assert all(RUN_EDGES[state] for state in RunState)


def test_only_a_lease_follows_itself() -> None:
    own = [state for _, edges in KINDS for state, following in edges.items() if state in following]
    assert own == [UnitState.LEASED]


def test_what_was_merged_was_submitted() -> None:
    assert [state for state in UnitState if UnitState.MERGED in UNIT_EDGES[state]] == [UnitState.SUBMITTED]
    before = [state for state in GradientState if GradientState.MERGED in GRADIENT_EDGES[state]]
    assert before == [GradientState.SUBMITTED]
