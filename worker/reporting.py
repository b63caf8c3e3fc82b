"""What a volunteer sees of their own computer's work."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from rich.console import Console

from contract.sources.base import Dataset
from contract.workloads.base import Workload
from worker.ledger import Joined, Lease
from worker.pipeline import Result


class Reporter(Protocol):
    def joined(self, joined: Joined, workload: Workload, dataset: Dataset, device: str) -> None: ...
    def began(self, lease: Lease) -> None: ...
    def computed(self, lease: Lease, num_samples: int, losses: dict[str, float], seconds: float) -> None: ...
    def delivered(self, result: Result, num_bytes: int) -> None: ...
    def dropped(self, lease: Lease, reason: str) -> None: ...
    def trouble(self, what: str) -> None: ...
    def ended(self, why: str) -> None: ...


@dataclasses.dataclass(slots=True, kw_only=True)
class Lines:
    """A line for each thing that happens: reads well in a terminal, in a log, and in a notebook."""

    console: Console
    num_delivered: int = 0
    num_bytes: int = 0

    def joined(self, joined: Joined, workload: Workload, dataset: Dataset, device: str) -> None:
        self.console.print(
            f"joined as worker {joined.worker}: [bold]{workload.name}[/] on {dataset.description}, computed on {device}"
        )

    def began(self, lease: Lease) -> None:
        """Told when it is done: a unit is seconds."""

    def computed(self, lease: Lease, num_samples: int, losses: dict[str, float], seconds: float) -> None:
        said = "  ".join(f"{name} {value:.4f}" for name, value in losses.items())
        self.console.print(
            f"unit {lease.unit:>6}  version {lease.base_version:>5}  {num_samples / seconds:8.1f} samples/s  {said}"
        )

    def delivered(self, result: Result, num_bytes: int) -> None:
        self.num_delivered += 1
        self.num_bytes += num_bytes
        self.console.print(
            f"unit {result.lease.unit:>6}  delivered, {num_bytes / 1e6:.1f} MB "
            f"({self.num_delivered} units and {self.num_bytes / 1e6:.0f} MB since you joined)",
            style="green",
        )

    def dropped(self, lease: Lease, reason: str) -> None:
        self.console.print(f"unit {lease.unit:>6}  dropped: {reason}", style="yellow")

    def trouble(self, what: str) -> None:
        self.console.print(what, style="red", markup=False)

    def ended(self, why: str) -> None:
        self.console.print(f"{why}; thank you: {self.num_delivered} units are yours", style="bold green")
