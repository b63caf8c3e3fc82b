from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from worker.cache import VersionCache

WEIGHTS = bytearray(b"weights")
SHA256 = hashlib.sha256(WEIGHTS).digest()


def test_what_was_kept_is_there_again(tmp_path: Path) -> None:
    VersionCache(tmp_path).keep(SHA256, WEIGHTS)
    assert VersionCache(tmp_path).get(SHA256, len(WEIGHTS)) == WEIGHTS


def test_what_was_changed_on_disk_is_not_there(tmp_path: Path) -> None:
    VersionCache(tmp_path).keep(SHA256, WEIGHTS)
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"weighty")
    assert VersionCache(tmp_path).get(SHA256, len(WEIGHTS)) is None


def test_what_a_killed_process_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    left, under_way = tmp_path / "a.partial1", tmp_path / "b.partial2"
    for draft in (left, under_way):
        draft.write_bytes(b"half")
    os.utime(left, (time.time() - 7200, time.time() - 7200))
    VersionCache(tmp_path).keep(SHA256, WEIGHTS)
    assert not left.exists()
    assert under_way.exists()


def test_a_folder_that_cannot_be_had_costs_a_download_and_no_more(tmp_path: Path) -> None:
    occupied = tmp_path / "versions"
    occupied.write_text("a file")
    VersionCache(occupied).keep(SHA256, WEIGHTS)
    assert VersionCache(occupied).get(SHA256, len(WEIGHTS)) is None
