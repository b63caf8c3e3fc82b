from __future__ import annotations

from pathlib import Path

import pytest

from docs.generate import pages


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_a_generated_page_is_current(path: Path) -> None:
    assert path.read_text("utf-8") == pages()[path], "run `make docs`"
