"""Rules that look at each coordinate by itself: its values over all vectors, sorted, become one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import torch
from torch import Tensor

from coordinator.aggregators.base import Contribution
from coordinator.aggregators.chunks import BLOCK_VALUES, Layout, read_rows
from coordinator.aggregators.sorting import sort_rows

if TYPE_CHECKING:
    from coordinator.aggregators.compiled.folds import Kernel
    from coordinator.aggregators.compiled.mixing import Mixer
    from coordinator.aggregators.compiled.rows import Rows

# Whose values were used is counted on the first so many of each stretch: to count everywhere would double the work.
_COUNTED_VALUES: Final = BLOCK_VALUES // 2
# Beyond, a processor's registers do not suffice, and the compiler takes minutes.
MOST_COMPILED_ROWS: Final = 20


class Fold(Protocol):
    """Folds that say the same are equal."""

    def wanted(self, num_rows: int) -> range:
        """The places of the order that it looks at."""
        ...

    def chosen(self, rows: Sequence[Tensor]) -> Sequence[Tensor]:
        """From the sorted rows: those whose mean is the result."""
        ...

    def num_chosen(self, num_rows: int) -> int: ...

    def written(self, num_rows: int) -> Iterator[str]:
        """The same for one coordinate, as lines of Python: from the sorted v0, v1 ... the chosen c0, c1 ..., and the
        `least` and the `most` of these."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Middle:
    """What is left without the `dropped` smallest and largest."""

    dropped: int

    def wanted(self, num_rows: int) -> range:
        return range(self.dropped, num_rows - self.dropped)

    def chosen(self, rows: Sequence[Tensor]) -> Sequence[Tensor]:
        return rows[self.dropped : len(rows) - self.dropped]

    def num_chosen(self, num_rows: int) -> int:
        return num_rows - 2 * self.dropped

    def written(self, num_rows: int) -> Iterator[str]:
        for place in range(self.num_chosen(num_rows)):
            yield f"c{place} = v{self.dropped + place}"
        yield f"least, most = v{self.dropped}, v{num_rows - self.dropped - 1}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """The `kept` values nearest the median; of two that are equally near the smaller one counts first.

    They are neighbours in the order. Of the places i, i + kept, i + 2 kept ... exactly one is among them: the one
    nearest the median. So no sum ever holds a value that is not used, however large.
    """

    kept: int

    def wanted(self, num_rows: int) -> range:
        return range(num_rows)

    def chosen(self, rows: Sequence[Tensor]) -> Sequence[Tensor]:
        median = mean_row(rows[(len(rows) - 1) // 2 : len(rows) // 2 + 1], torch.empty_like(rows[0]))
        found = []
        for place in range(self.kept):
            nearest = rows[place]
            for candidate in rows[place + self.kept :: self.kept]:
                nearest = torch.where(candidate - median < median - nearest, candidate, nearest)
            found.append(nearest)
        return found

    def num_chosen(self, num_rows: int) -> int:
        return self.kept

    def written(self, num_rows: int) -> Iterator[str]:
        low, high = (num_rows - 1) // 2, num_rows // 2
        yield f"median = v{low}" if low == high else f"median = v{low} * half + v{high} * half"
        for place in range(self.kept):
            yield f"c{place} = v{place}"
            for candidate in range(place + self.kept, num_rows, self.kept):
                yield f"c{place} = v{candidate} if v{candidate} - median < median - c{place} else c{place}"
        yield "least, most = c0, c0"
        for place in range(1, self.kept):
            yield f"least = c{place} if c{place} < least else least"
            yield f"most = c{place} if c{place} > most else most"


def mean_row(rows: Sequence[Tensor], out: Tensor) -> Tensor:
    # Each is divided before it is added: the largest float32 has a mean, but no double. And rounded then: a library may
    # round a product and a sum at once or not, and here machine code must come to the same bits.
    share = 1.0 / len(rows)
    torch.mul(rows[0], share, out=out)
    room = torch.empty_like(out) if len(rows) > 1 else out
    for row in rows[1:]:
        out.add_(torch.mul(row, share, out=room))
    return out


@dataclasses.dataclass(slots=True, kw_only=True)
class Folded:
    """A combination by coordinates. `places` are those of the contributions among all `num_gradients`."""

    fold: Fold
    contributions: Sequence[Contribution]
    mixing: Tensor | None
    places: Sequence[int]
    num_gradients: int
    length: int
    length_in_place: int
    is_compiled: bool = False
    _used: Tensor | None = None
    _num_counted: int = 0

    def fill(self, totals: Mapping[str, Tensor]) -> None:
        kernel = self._kernel()
        if self.is_compiled and (self.mixing is not None or kernel is not None):
            self._fill_in_place(kernel, totals)
            return
        layout = Layout(sizes={name: total.numel() for name, total in totals.items()}, length=self.length)
        room = torch.empty(self._num_rows + 2, self.length, dtype=torch.float32)
        read = room if self.mixing is None else torch.empty(len(self.contributions), self.length, dtype=torch.float32)
        for stretch in layout.stretches():
            filled = read_rows(self.contributions, stretch, read)
            if self.mixing is not None:
                mix_rows(self.mixing, read, room, filled)
            found = room[-1, :filled]
            spare = None if self.is_compiled else room[-2, :filled]
            self._fold(room[:-2, :filled], found, min(filled, _COUNTED_VALUES), spare=spare)
            for piece in stretch:
                totals[piece.name][piece.start : piece.stop].copy_(found[piece.place])

    @property
    def _num_rows(self) -> int:
        return len(self.contributions) if self.mixing is None else len(self.mixing)

    def _kernel(self) -> Kernel | None:
        if not self.is_compiled or self._num_rows > MOST_COMPILED_ROWS:
            return None
        from coordinator.aggregators.compiled import folds

        return folds.kernel(self.fold, self._num_rows)

    def _fill_in_place(self, kernel: Kernel | None, totals: Mapping[str, Tensor]) -> None:
        from coordinator.aggregators.compiled.rows import Reader

        layout = Layout(sizes={name: total.numel() for name, total in totals.items()}, length=self.length_in_place)
        reader = Reader(contributions=self.contributions, length=layout.length)
        mixer = None if self.mixing is None else self._mixer(is_long=kernel is None)
        used = np.zeros(self._num_rows)

        def fold(kernel: Kernel, rows: Rows, out: Tensor, at: int) -> None:
            num_counted = _num_counted(len(out), at)
            kernel(rows, out.numpy(), num_counted, used)
            self._num_counted += num_counted

        for stretch in layout.stretches():
            for piece, rows in reader.pieces(stretch):
                total = totals[piece.name][piece.start : piece.stop]
                if mixer is None:
                    assert kernel is not None
                    fold(kernel, rows, total, piece.at)
                    continue
                for start, mixed, values in mixer.stretches(rows, len(total)):
                    found = total[start : start + values.shape[1]]
                    if kernel is not None:
                        fold(kernel, mixed, found, piece.at + start)
                    else:
                        self._fold(values, found, _num_counted(len(found), piece.at + start))
        self._add_used(torch.from_numpy(used))

    def _mixer(self, *, is_long: bool) -> Mixer:
        from coordinator.aggregators.compiled.mixing import Mixer

        assert self.mixing is not None
        factors = [contribution.factor for contribution in self.contributions]
        return Mixer.of(self.mixing * torch.tensor(factors, dtype=torch.float64), is_long=is_long)

    @property
    def shares(self) -> list[float]:
        found = [0.0] * self.num_gradients
        if self._used is None or not self._num_counted:
            return found
        used = self._used / self._num_counted
        if self.mixing is not None:
            used = (used[:, None] * self.mixing).sum(0)
        for place, share in zip(self.places, used.tolist(), strict=True):
            found[place] = share
        return found

    def _fold(self, values: Tensor, out: Tensor, num_counted: int, *, spare: Tensor | None = None) -> None:
        """Without a row to spare machine code sorts."""
        # Sorting loses track of whose a value is.
        counted = values[:, :num_counted].clone()
        rows = list(values)
        if spare is None:
            from coordinator.aggregators.compiled import sorts

            sorts.sort_rows(values, self.fold.wanted(len(rows)))
        else:
            sort_rows(rows, spare, self.fold.wanted(len(rows)))
        chosen = self.fold.chosen(rows)
        self._count(counted, torch.stack([row[:num_counted] for row in chosen]))
        # Of a zero and its negative a vector unit picks another minimum than a scalar one: here is one zero only.
        mean_row(chosen, out).add_(0.0)

    def _count(self, values: Tensor, chosen: Tensor) -> None:
        """Who shares a value shares its use, so that a coordinate counts once."""
        is_used = ((values >= chosen.amin(0)) & (values <= chosen.amax(0))).to(torch.float64)
        self._add_used(is_used.div_(is_used.sum(0)).sum(1))
        self._num_counted += values.shape[1]

    def _add_used(self, used: Tensor) -> None:
        self._used = used if self._used is None else self._used + used


def _num_counted(number: int, at: int) -> int:
    """Of so many values that begin at `at` of a stretch."""
    return min(number, max(0, _COUNTED_VALUES - at))


def mix_rows(mixing: Tensor, read: Tensor, rows: Tensor, filled: int) -> None:
    """Row i becomes the sum that row i of `mixing` says, block by block: as large a product as threads do not share."""
    used = -(-filled // BLOCK_VALUES)
    read[:, filled : used * BLOCK_VALUES] = 0.0
    factors = mixing.to(torch.float32).expand(used, *mixing.shape)
    blocks = read.view(len(read), -1, BLOCK_VALUES).transpose(0, 1)[:used]
    target = rows[: len(mixing)].view(len(mixing), -1, BLOCK_VALUES).transpose(0, 1)[:used]
    target.copy_(torch.bmm(factors, blocks))
