from __future__ import annotations

import subprocess
import sys


def test_the_walkthrough_ends_with_what_it_promises() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.acceptance.walkthrough"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 gradients wait for the merge" in done.stdout
    assert done.stdout.count("  refused  ") == 6
