from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.stage import Stage, open_stage
from tests.servers.databases import Database


@pytest.fixture
def stage(tmp_path: Path, database: Database) -> Iterator[Stage]:
    with open_stage(tmp_path, database) as opened:
        yield opened
