from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from contract.ids import Version
from worker.cache import VersionCache
from worker.ledger import VersionRecord


def record(content: bytes) -> VersionRecord:
    sha256 = hashlib.sha256(content).digest()
    return VersionRecord(
        version=Version(1), parent=None, sha256=sha256, num_bytes=len(content), manifest={}, optimizer_step=1,
        part_sha256s=(sha256,),
    )  # fmt: skip


def test_what_a_killed_process_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    left, under_way = tmp_path / "a.partial1", tmp_path / "b.partial2"
    for draft in (left, under_way):
        draft.write_bytes(b"half")
    os.utime(left, (time.time() - 7200, time.time() - 7200))
    assert VersionCache(tmp_path).get(record(b"weights"), lambda _: b"weights") == b"weights"
    assert not left.exists()
    assert under_way.exists()


def test_a_folder_that_cannot_be_had_costs_a_download_and_no_more(tmp_path: Path) -> None:
    occupied = tmp_path / "versions"
    occupied.write_text("a file")
    assert VersionCache(occupied).get(record(b"weights"), lambda _: b"weights") == b"weights"
