"""A real `worker`, whose log says when it began and ended the computation of each unit.

python -m benchmarks.observed_worker LOG join --config NAME.yaml
"""

from __future__ import annotations

import functools
import json
import sys
import time
from pathlib import Path
from typing import Any

from contract.workloads.base import GradientResult
from contract.workloads.units import Unit
from worker.cli import run
from worker.compute import Computer


def observe(log: Path) -> None:
    compute = Computer.gradient

    @functools.wraps(compute)
    def observed(self: Computer, unit: Unit, *more: Any, **options: Any) -> GradientResult:
        began = time.time()
        result = compute(self, unit, *more, **options)
        line = {"epoch": unit.epoch, "first": unit.first_sample, "began": began, "ended": time.time()}
        with log.open("a") as file:
            file.write(json.dumps(line) + "\n")
        return result

    Computer.gradient = observed  # type: ignore[method-assign]


if __name__ == "__main__":
    observe(Path(sys.argv.pop(1)))
    run()
