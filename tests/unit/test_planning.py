from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coordinator.planning import Pool


def test_units_are_handed_out_in_order_and_end() -> None:
    ours = Pool(num_units=5)
    assert [ours.take(2), ours.take(2), ours.take(2), ours.take(2)] == [[0, 1], [2, 3], [4], []]


def test_what_is_put_back_comes_next() -> None:
    ours = Pool(num_units=5)
    first, second = ours.take(2)
    ours.put_back([second, first])
    assert ours.take(3) == [0, 1, 2]


def test_a_restart_goes_on_where_the_ledger_stands() -> None:
    assert Pool(num_units=5, taken=[0, 2]).take(3) == [1, 3, 4]


def test_an_empty_pool_fills_again_when_a_unit_is_lost() -> None:
    ours = Pool(num_units=1)
    ours.take(1)
    assert ours.is_empty
    ours.put_back([0])
    assert not ours.is_empty


@given(num_units=st.integers(1, 60), lost=st.lists(st.booleans(), max_size=60), restart_at=st.integers(0, 20))
def test_every_unit_is_done_once_whatever_is_lost(num_units: int, lost: list[bool], restart_at: int) -> None:
    ours, fates = Pool(num_units=num_units), iter(lost)
    done: list[int] = []
    for turn in range(1000):
        if turn == restart_at:
            ours = Pool(num_units=num_units, taken=done)
        if not (taken := ours.take(2)):
            break
        back = [number for number in taken if next(fates, False)]
        done += [number for number in taken if number not in back]
        ours.put_back(back)
    assert sorted(done) == list(range(num_units))
