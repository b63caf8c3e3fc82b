from __future__ import annotations

import io

from rich.console import Console

from coordinator.sparing import Sparing


def test_a_few_lines_a_minute_are_printed_and_the_others_counted() -> None:
    out = io.StringIO()
    now = 0.0
    sparing = Sparing(console=Console(file=out, width=80), clock=lambda: now)
    for number in range(1000):
        sparing.print("refusals", f"refused {number}", at_most=3)
    sparing.print("versions", "version 1", at_most=3)
    now = 61.0
    sparing.print("refusals", "refused 1000", at_most=3)
    now = 122.0
    sparing.print("refusals", "refused 1001", at_most=3)
    assert out.getvalue().splitlines() == [
        "refused 0",
        "refused 1",
        "refused 2",
        "version 1",
        "(997 more refusals, not shown one by one)",
        "refused 1000",
        "refused 1001",
    ]
