"""Folds of coordinates: for each number of vectors and each fold the whole network of comparators is written out as
Python, one line a comparator, and compiled; all values of a coordinate then stay in registers from the first
comparator to the mean.

That takes a second or more, so it happens beside the training. Until it is done the rows are sorted by torch, which
comes to the same bits.
"""

from __future__ import annotations

import concurrent.futures
import functools
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from coordinator.aggregators.compiled.machine import compiled, compiled_and_kept, floats
from coordinator.aggregators.sorting import network

if TYPE_CHECKING:
    from coordinator.aggregators.compiled.rows import Rows
    from coordinator.aggregators.folding import Fold

# Coordinates whose smallest and largest used values are held at a time, to count whose were used.
_TILE: Final = 1024


Kernel = Callable[["Rows", npt.NDArray[np.float32], int, npt.NDArray[np.float64]], None]

_compiling: dict[tuple[Fold, int], concurrent.futures.Future[Any]] = {}
_lock: Final = threading.Lock()


@functools.cache
def _compiler() -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="compiler")


def kernel(fold: Fold, num_rows: int) -> Kernel | None:
    """None for as long as it is being compiled. It fills an aggregate, and adds to `used` which share of the first so
    many coordinates each vector had."""
    with _lock:
        found = _compiling.get((fold, num_rows))
        if found is None:
            found = _compiling[fold, num_rows] = _compiler().submit(_compile, fold, num_rows)
    return functools.partial(_call, found.result()) if found.done() else None


def finish() -> None:
    """Waits for all that is being compiled."""
    with _lock:
        waiting = list(_compiling.values())
    concurrent.futures.wait(waiting)


def _call(code: Any, rows: Rows, out: npt.NDArray[np.float32], num_counted: int, used: npt.NDArray[np.float64]) -> None:
    code(rows.addresses, rows.factors, out, num_counted, used)


def _compile(fold: Fold, num_rows: int) -> Any:
    if not threading.main_thread().is_alive():
        # The process ends, and waits for this thread: nobody will fold anything any more.
        raise concurrent.futures.CancelledError
    names: dict[str, Any] = {"np": np, "floats": floats, "count": _count, "half": np.float32(0.5)}
    exec("\n".join(_source(fold, num_rows)), names)  # noqa: S102  written by ourselves, from two numbers
    code = compiled(names["folded"])
    nothing = np.zeros(num_rows, dtype=np.float64)
    code(nothing.astype(np.int64), nothing.astype(np.float32), np.empty(0, dtype=np.float32), 0, nothing)
    return code


def _source(fold: Fold, num_rows: int) -> Iterator[str]:
    chosen = [f"c{place}" for place in range(fold.num_chosen(num_rows))]
    yield "def folded(addresses, factors, out, num_counted, used):"
    yield f"    low, high = np.empty({_TILE}, np.float32), np.empty({_TILE}, np.float32)"
    yield f"    share = np.float32({1.0 / len(chosen)!r})"
    yield from (f"    f{row} = factors[{row}]" for row in range(num_rows))
    yield f"    for first in range(0, len(out), {_TILE}):"
    yield f"        sums = out[first : first + {_TILE}]"
    yield "        number = len(sums)"
    yield from (f"        r{row} = floats(addresses[{row}] + 4 * first, number)" for row in range(num_rows))
    yield "        for place in range(number):"
    body = [f"v{row} = r{row}[place] * f{row}" for row in range(num_rows)]
    for comparator in network(num_rows, frozenset(fold.wanted(num_rows))):
        one, other = f"v{comparator.low}", f"v{comparator.high}"
        body.append(f"is_less = {one} < {other}")
        smaller, larger = f"{one} if is_less else {other}", f"{other} if is_less else {one}"
        if comparator.wants_low and comparator.wants_high:
            body.append(f"{one}, {other} = {smaller}, {larger}")
        elif comparator.wants_low:
            body.append(f"{one} = {smaller}")
        else:
            body.append(f"{other} = {larger}")
    body += fold.written(num_rows)
    body.append(f"total = {chosen[0]} * share")
    body += [f"total += {name} * share" for name in chosen[1:]]
    body.append("sums[place], low[place], high[place] = total + np.float32(0.0), least, most")
    yield from (f"            {line}" for line in body)
    yield "        if first < num_counted:"
    yield "            count(addresses, factors, first, low, high, min(number, num_counted - first), used)"


@compiled_and_kept
def _count(addresses: Any, factors: Any, first: int, low: Any, high: Any, number: int, used: Any) -> None:
    """Who shares a value shares its use, so that a coordinate counts once."""
    num_using = np.zeros(number, dtype=np.float64)
    for turn in range(2):
        for row in range(len(addresses)):
            values = floats(addresses[row] + 4 * first, number)
            total = 0.0
            for place in range(number):
                value = values[place] * factors[row]
                is_used = low[place] <= value <= high[place]
                if turn == 0:
                    num_using[place] += is_used
                elif is_used:
                    total += 1.0 / num_using[place]
            used[row] += total
