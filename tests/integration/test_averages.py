"""A curve is as long as somebody can see, and says the same whether it is read from values or from their tallies."""

from __future__ import annotations

import itertools
import statistics

import pytest
from sqlalchemy import text

from contract.ids import Version
from coordinator.ledger.averages import Averages, averages
from tests.integration.classroom import Classroom, classroom

__all__ = ["classroom"]

_MEASURED = """
    INSERT INTO ledger.metrics (run_id, version, name, value)
    SELECT :run, n, 'loss', CASE WHEN n = 5 THEN 'NaN' ELSE n::float8 END FROM generate_series(0, :head) n"""


def measured(room: Classroom, *, head: int, points: int) -> Averages:
    with room.owner.begin() as conn:
        conn.execute(text(_MEASURED), {"run": room.run, "head": head})
        return averages(conn, run="class", head=Version(head), points=points)


def test_of_a_short_run_each_value_is_shown_but_what_is_no_number(classroom: Classroom) -> None:
    whole = measured(classroom, head=999, points=2000)["loss"]
    assert len(whole) == 999 and whole[-1] == (999, 999.0)


def test_of_a_longer_one_averages_over_equal_parts(classroom: Classroom) -> None:
    short = measured(classroom, head=999, points=100)["loss"]
    assert len(short) == 100 and short[0] == (9, 40 / 9) and short[-1] == (999, 994.5)


def test_of_a_long_one_over_parts_that_are_equal_but_for_a_few_versions(classroom: Classroom) -> None:
    points = measured(classroom, head=999, points=10)["loss"]
    assert len(points) == 10 and points[-1][0] == 999
    for (before, _), (last, value) in itertools.pairwise([(-1, 0.0), *points]):
        assert 84 <= last - before <= 116
        assert value == pytest.approx(statistics.fmean(n for n in range(before + 1, last + 1) if n != 5))


def test_what_is_measured_now_and_then_is_a_curve_too(classroom: Classroom) -> None:
    rare = """
        INSERT INTO ledger.metrics (run_id, version, name, value)
        SELECT :run, n, 'held_out/loss', 1 FROM generate_series(0, 999, 300) n"""
    with classroom.owner.begin() as conn:
        conn.execute(text(rare), {"run": classroom.run})
    assert measured(classroom, head=999, points=10)["held_out/loss"] == [(0, 1), (300, 1), (600, 1), (900, 1)]
