from __future__ import annotations

import csv
import datetime
from pathlib import Path

import pytest

from coordinator.spreadsheet import harmless, write_table, written


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "  =1", "\t=1", "ada;=1+1", 'ada,=cmd|" /C calc"!A0'])
def test_nothing_begins_as_a_formula_where_a_spreadsheet_separates(text: str) -> None:
    for separator in ",;\t|":
        assert not any(cell.lstrip().startswith(tuple("=+-@")) for cell in harmless(text).split(separator))


@pytest.mark.parametrize("text", ["", "ada", "a-b", "Zoë van Berg", "1 + 1 = 2", "x@y", "not finite: 3 of 7"])
def test_what_is_no_formula_stays_as_it_is(text: str) -> None:
    assert harmless(text) == text


def test_a_number_stays_a_number_whatever_its_sign() -> None:
    assert (written(-1.5), written(0), written(None)) == (-1.5, 0, "")


def test_times_are_in_utc_and_days_are_days() -> None:
    at = datetime.datetime(2026, 11, 28, 8, 5, 9, 500000, datetime.timezone(datetime.timedelta(hours=1)))
    assert written(at) == "2026-11-28 07:05:09"
    assert written(datetime.date(2026, 11, 28)) == "2026-11-28"


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    cells = ['quo"te', "com,ma", "line\nbreak", "Zoë", ""]
    assert write_table(file, ["a", "b", "c", "d", "e"], [cells]) == 1
    with file.open(encoding="utf-8-sig", newline="") as stream:
        assert list(csv.reader(stream)) == [["a", "b", "c", "d", "e"], cells]


def test_lines_end_as_the_standard_says_and_the_mark_of_utf_8_stands_first(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    write_table(file, ["who"], [["Zoë"]])
    assert file.read_bytes() == b"\xef\xbb\xbfwho\r\nZo\xc3\xab\r\n"


def test_a_file_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("precious", "utf-8")
    with pytest.raises(FileExistsError):
        write_table(file, ["who"], [])
    assert file.read_text("utf-8") == "precious"
