from __future__ import annotations

import statistics
import subprocess
import sys
import time

import pytest

PROGRAMS = ["coordinator", "worker"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_answers_at_once(program: str) -> None:
    def seconds() -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", program, "--help"], check=True, capture_output=True)
        return time.perf_counter() - began

    assert statistics.median(seconds() for _ in range(5)) < 0.4


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("heavy", ["torch", "sqlalchemy", "psycopg", "pydantic"])
def test_help_imports_nothing_heavy(program: str, heavy: str) -> None:
    code = f"import sys, {program}.cli; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
