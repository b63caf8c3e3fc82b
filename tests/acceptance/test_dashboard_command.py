"""`coordinator dashboard` as somebody starts it who wants to see the page at once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.acceptance.stage import Stage

_BROWSER = """#!{python}
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1] + "alive", timeout=60) as answer, open("{seen}", "w") as seen:
    seen.write(answer.read().decode())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="its browsers do not run in the terminal")
def test_a_browser_that_runs_in_the_terminal_does_not_keep_the_page_from_being_served(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(_BROWSER.format(python=sys.executable, seen=seen), "utf-8")
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    stage.leading()
    stage.start("page", "dashboard", "--port", "0", "--open")
    assert stage.wait_for(lambda: seen.exists() and seen.read_text("utf-8"), "the browser's page") == "alive\n"
