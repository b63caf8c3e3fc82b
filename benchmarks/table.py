"""One table, in the Markdown that goes into docs/explanation/performance.md."""

from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`ratio` is what the target speaks of; a row without a target is there to be compared with others."""

    question: str
    measured: str
    against: str = ""
    ratio: float | None = None
    at_least: float | None = None
    at_most: float | None = None

    def met(self) -> bool | None:
        if self.ratio is None or (self.at_least is None and self.at_most is None):
            return None
        return (
            self.at_least is None or self.ratio >= self.at_least if self.at_most is None else self.ratio <= self.at_most
        )

    def cells(self) -> list[str]:
        target = ""
        if self.at_least is not None:
            target = f">= {self.at_least:g}"
        elif self.at_most is not None:
            target = f"<= {self.at_most:g}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        verdict = {True: "met", False: "**missed**", None: ""}[self.met()]
        return [self.question, self.measured, self.against, ratio, target, verdict]


HEADER = ("question", "measured", "against", "ratio", "target", "")


def print_rows(title: str, rows: Sequence[Row], notes: Sequence[str] = ()) -> None:
    print_table(title, HEADER, [row.cells() for row in rows], notes)


def print_table(title: str, header: Sequence[str], lines: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> None:
    widths = [max(3, *(len(line[i]) for line in (header, *lines))) for i in range(len(header))]
    print(f"\n### {title}\n")
    print(_line(header, widths))
    print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    for line in lines:
        print(_line(line, widths))
    print()
    for note in (f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores.", *notes):
        print(f"- {note}")


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"
