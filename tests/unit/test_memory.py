from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="asks the system for the highest memory as POSIX has it")
@pytest.mark.parametrize(("downlink", "least"), [("none", 3.0), ("two_bit", 4.0)])
def test_32_gradients_of_25_million_parameters_are_merged_within_a_model_more_than_the_state(
    downlink: str, least: float
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.merging_much", "32", downlink],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    # Weights and two moments are three times the model; what a downlink codec left out is one more.
    assert least < float(done.stdout) < least + 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux for the highest memory of a while")
@pytest.mark.parametrize(("kernels", "most_of_kernels"), [("torch", 1.0), ("compiled", 256.0)])
def test_16_gradients_are_aggregated_within_64_mebibytes_by_any_rule(kernels: str, most_of_kernels: float) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.aggregating_much", "16", kernels],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    of_kernels, of_aggregating = map(float, done.stdout.split())
    assert of_kernels <= most_of_kernels
    assert of_aggregating < 64.0
