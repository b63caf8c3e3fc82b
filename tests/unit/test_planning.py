from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from coordinator.planning import Pool, Range


def pool(**changes: object) -> Pool:
    return Pool(**{"num_samples": 10, "unit_samples": 4, "num_epochs": 2} | changes)  # type: ignore[arg-type]


def test_an_epoch_is_cut_into_ranges_and_the_last_may_be_short() -> None:
    assert pool().take(3) == [
        Range(epoch=0, first=0, num=4),
        Range(epoch=0, first=4, num=4),
        Range(epoch=0, first=8, num=2),
    ]


def test_the_next_epoch_follows() -> None:
    assert [range_.epoch for range_ in pool().take(10)] == [0, 0, 0, 1, 1, 1]


def test_what_is_put_back_comes_next() -> None:
    ours = pool()
    first, second = ours.take(2)
    ours.put_back([second, first])
    assert ours.take(2) == [first, second]


def test_a_restart_goes_on_where_the_ledger_stands() -> None:
    taken = [Range(epoch=0, first=0, num=4), Range(epoch=0, first=8, num=2)]
    assert pool(taken=taken).take(2) == [Range(epoch=0, first=4, num=4), Range(epoch=1, first=0, num=4)]


@given(
    num_samples=st.integers(1, 40),
    unit_samples=st.integers(1, 9),
    num_epochs=st.integers(1, 3),
    lost=st.lists(st.booleans(), max_size=60),
    restart_at=st.integers(0, 20),
)
def test_every_sample_is_used_once_an_epoch_whatever_is_lost(
    num_samples: int, unit_samples: int, num_epochs: int, lost: list[bool], restart_at: int
) -> None:
    shape = {"num_samples": num_samples, "unit_samples": unit_samples, "num_epochs": num_epochs}
    ours, fates = pool(**shape), iter(lost)
    done: list[Range] = []
    for turn in range(1000):
        if turn == restart_at:
            ours = pool(**shape, taken=done)
        if not (taken := ours.take(2)):
            break
        back = [range_ for range_ in taken if next(fates, False)]
        done += [range_ for range_ in taken if range_ not in back]
        ours.put_back(back)
    used = Counter((r.epoch, sample) for r in done for sample in range(r.first, r.first + r.num))
    assert used == Counter((epoch, sample) for epoch in range(num_epochs) for sample in range(num_samples))
