"""A real worker that attacks its own run, for runs in a sandbox.

    python -m tests.attacks.worker --attack sign_flip -- join --config invitations/mallory.yaml
    python -m tests.attacks.worker --attack mimic --folder /tmp/plot -- join --config invitations/mallory.yaml
    python -m tests.attacks.worker --folder /tmp/plot -- join --config invitations/ada.yaml

What stands after `--` goes to `worker`. The product has no place to plug this in: the class that computes is replaced
in this process. Colluders meet in a folder, where each leaves the honest gradient of every unit it computes; without
--attack a worker is honest, and somebody reads along.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import functools
import hashlib
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

import worker.session
from contract.sources.base import Batch
from contract.tensors import Manifest, pack, unpack
from contract.workloads.base import GradientResult, Workload
from contract.workloads.units import Unit
from tests.attacks import ATTACKS, Attack, Seen
from worker import cli
from worker.compute import Computer

# Of one worker in the folder: those of a round are what colluders need.
_KEPT_FILES = 16


@dataclasses.dataclass(slots=True, kw_only=True)
class Folder:
    """Honest gradients by version and unit. A version is known by its weights."""

    path: Path
    manifest: Manifest
    _written: collections.deque[Path] = dataclasses.field(default_factory=collections.deque)

    def leave(self, version: str, unit: Unit, tensors: Mapping[str, Tensor]) -> None:
        home = self.path / version
        home.mkdir(parents=True, exist_ok=True)
        unfinished = home / f"{unit.seed}.unfinished"
        unfinished.write_bytes(pack(tensors))
        self._written.append(unfinished.rename(home / f"{unit.seed}.safetensors"))
        if len(self._written) > _KEPT_FILES:
            self._written.popleft().unlink()

    def found(self, version: str) -> list[dict[str, Tensor]]:
        """In an order that all colluders see."""
        gradients = []
        for file in sorted((self.path / version).glob("*.safetensors")):
            # Its owner may take it away meanwhile.
            with contextlib.suppress(FileNotFoundError):
                gradients.append(unpack(file.read_bytes(), self.manifest, max_bytes=self.manifest.blob_bytes))
        return gradients


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    attack: Attack | None
    folder: Path
    num_gradients: int
    num_byzantine: int
    # How many uploads for one version are forged; whoever forges more than f of n of them is not what f speaks of.
    per_version: int


class HostileComputer(Computer):
    def __init__(self, workload: Workload, *arguments: Any, plot: Plot, **options: Any) -> None:
        super().__init__(workload, *arguments, **options)
        self._plot = plot
        self._folder = Folder(path=plot.folder, manifest=workload.manifest())
        self._version = ""
        self._num_forged = 0
        self._first: Mapping[str, Tensor] | None = None

    def load(self, weights: Mapping[str, Tensor]) -> None:
        super().load(weights)
        self._version = hashlib.sha256(pack(weights)).hexdigest()
        self._num_forged = 0

    def gradient(self, unit: Unit, samples: Batch | None = None, **how: Any) -> GradientResult:
        attack = self._plot.attack if self._num_forged < self._plot.per_version else None
        honest = self.samples(unit) if samples is None else samples
        chosen = honest if attack is None else attack.samples(honest, num_classes=self._dataset.num_classes)
        result = super().gradient(unit, chosen, **how)
        if chosen is honest:
            self._folder.leave(self._version, unit, result.tensors)
        self._first = self._first or result.tensors
        what = "honest" if attack is None else f"forged {attack.name}"
        print(f"{what}: epoch {unit.epoch}, sample {unit.first_sample}", flush=True)  # noqa: T201
        return result if attack is None else self._forged(attack, result, seed=unit.seed)

    def _forged(self, attack: Attack, result: GradientResult, *, seed: int) -> GradientResult:
        self._num_forged += 1
        assert self._first is not None
        seen = Seen(
            own=result.tensors,
            honest=self._folder.found(self._version) or [result.tensors],
            first=self._first,
            num_gradients=self._plot.num_gradients,
            num_byzantine=self._plot.num_byzantine,
            seed=seed,
        )
        return dataclasses.replace(result, tensors=attack.forge(seen))


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.worker", description=__doc__)
    parser.add_argument("--attack", choices=ATTACKS.names)
    parser.add_argument("--options", type=json.loads, default={}, help="of the attack, as JSON")
    parser.add_argument("--folder", type=Path, help="where colluders meet; unset, this one plots alone")
    parser.add_argument("--num-gradients", type=int, default=11, help="of an update, all in all")
    parser.add_argument("--num-byzantine", type=int, default=2, help="of them from colluders")
    parser.add_argument("--per-version", type=int, default=1, help="uploads for one version that are forged")
    parser.add_argument("worker", nargs="+", help="what `worker` is told, after --")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as alone:
        plot = Plot(
            attack=None if given.attack is None else ATTACKS.build(given.attack, given.options),
            folder=given.folder or Path(alone),
            num_gradients=given.num_gradients,
            num_byzantine=given.num_byzantine,
            per_version=given.per_version,
        )
        worker.session.Computer = functools.partial(HostileComputer, plot=plot)  # type: ignore[attr-defined]
        # Further processes would be started as the product is, and be honest.
        sys.argv = ["worker", *given.worker, "--processes", "1"]
        cli.run()


if __name__ == "__main__":
    main(sys.argv[1:])
