"""Tables as CSV files that spreadsheets open as they are: RFC 4180, UTF-8 with its mark, nothing that runs."""

from __future__ import annotations

import csv
import datetime
import functools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

Cell = str | int | float | bool | datetime.datetime | datetime.date | None

# What a spreadsheet would run as a formula. A separator inside of a text begins a cell of its own where the spreadsheet
# separates by another letter than the comma.
_FORMULA: Final = re.compile(r"(?:^|(?<=[;\t\r\n|,]))(?=\s*[=+\-@\t\r])")


def write_table(file: Path, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> int:
    """The number of rows. The file must not be there yet."""
    count = 0
    # Excel takes a CSV for UTF-8 only when its mark stands at the beginning.
    with file.open("x", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream, dialect="excel")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([written(cell) for cell in row])
            count += 1
    return count


def written(cell: Cell) -> str | int | float:
    # Millions of cells, most of them numbers: what they are is asked in the order of how many there are.
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, int | float):
        return cell
    if isinstance(cell, str):
        return harmless(cell)
    if isinstance(cell, datetime.datetime):
        return cell.astimezone(datetime.UTC).isoformat(" ", "seconds")[:19]
    return "" if cell is None else cell.isoformat()


@functools.lru_cache(maxsize=4096)
def harmless(text: str) -> str:
    """An apostrophe before what would be a formula: shown as text, whatever stands there."""
    return _FORMULA.sub("'", text)
