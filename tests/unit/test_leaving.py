"""Which reason a worker leaves in the ledger when it goes."""

from __future__ import annotations

import pytest

from contract.errors import BarnraiseError, LeaseLost, RunNotOpen
from worker.session import run_is_over


@pytest.mark.parametrize(
    ("state", "heard", "is_over"),
    [
        ("running", (None, None), False),
        ("paused", (None, None), False),
        ("running", (LeaseLost(), None), False),
        ("finished", (None, None), True),
        ("running", (RunNotOpen(), None), True),
        ("running", (None, RunNotOpen()), True),
    ],
)
def test_a_run_is_over_for_whoever_heard_it_from_the_heartbeat_or_from_a_refusal(
    state: str, heard: tuple[BarnraiseError | None, ...], is_over: bool
) -> None:
    assert run_is_over(state, heard=heard) is is_over
