from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from contract.errors import ConfigError
from worker import devices


def test_the_processor_is_always_there_and_last() -> None:
    assert devices.present()[-1] == "cpu"
    assert devices.choose("cpu") == "cpu"


def test_auto_takes_the_first() -> None:
    assert devices.choose("auto") == devices.present()[0]


def test_auto_deals_out_the_fastest_kind() -> None:
    chosen = [devices.choose("auto", place) for place in range(4)]
    assert len(set(chosen)) == min(4, max(1, devices.num_accelerators()))


def test_a_device_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"worker.device: cuda:17 is not there; this computer has .*cpu"):
        devices.choose("cuda:17")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_a_kind_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="cuda is not there"):
        devices.choose("cuda")


@pytest.mark.parametrize(
    ("num_threads", "num_processes", "expected"),
    [(1, 1, 1), (3, 2, 3), (None, 1000, 1), (None, 2, max(1, (os.cpu_count() or 1) // 2))],
)
def test_processes_share_the_processor(num_threads: int | None, num_processes: int, expected: int) -> None:
    code = (
        "import sys; from worker.devices import described, use_threads\n"
        f"print(use_threads({num_threads}, device='cpu', num_processes={num_processes}), described('cpu'))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == f"{expected} cpu with {expected} thread{'' if expected == 1 else 's'}"
