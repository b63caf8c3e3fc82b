"""What the model drew from version to version, kept for the pictures at the end."""

from __future__ import annotations

import time
from typing import Final, cast

import torch
from sqlalchemy import Connection, Engine

from contract.ids import Version
from contract.tensors import unpack
from contract.workloads.base import GenerativeModel, Workload
from coordinator.ledger import runs
from coordinator.mathematics import Mathematics
from coordinator.pictures import Stage, pixels_from
from coordinator.weights import read_weights

_NUM_IMAGES: Final = 36
# The same noise each time: one sees an image change, and not another one.
_SEED: Final = 1


class Gallery:
    """`stages` grows with each look at a new version, where the workload is one that draws."""

    def __init__(self, engine: Engine, workload: Workload, *, run: str) -> None:
        self._engine, self._workload, self._run = engine, workload, run
        self._manifest = workload.manifest()
        model = workload.open_model()
        self._model = cast(GenerativeModel, model) if hasattr(model, "samples") else None
        self._began = time.monotonic()
        self.head: Version | None = None
        self.stages: list[Stage] = []

    def begin(self) -> None:
        """From now on the seconds count."""
        self._began = time.monotonic()

    def look(self) -> bool:
        """False where the head was seen already, or is pruned already."""
        with self._engine.begin() as conn:
            record = runs.read_run(conn, name=self._run)
            if record.head_version == self.head:
                return False
            blob = self._weights(conn, record) if self._model else None
        self.head = record.head_version
        if self._model and blob:
            self._model.load(unpack(blob, self._manifest, max_bytes=len(blob)))
            drawn = self._model.samples(_NUM_IMAGES, seed=_SEED)
            title = "before training" if self.head == 0 else f"version {self.head:,}, {self._seconds():.0f} s"
            self.stages.append(Stage(title=title, images=pixels_from(drawn.to(torch.float32).numpy())))
        return True

    def _weights(self, conn: Connection, record: runs.RunRecord) -> bytearray | None:
        return read_weights(
            conn, run=record.run, version=record.head_version, how=Mathematics.of(self._workload, record.training)
        )

    def _seconds(self) -> float:
        return time.monotonic() - self._began
