"""What the model drew from version to version, kept for the pictures at the end."""

from __future__ import annotations

import time

from sqlalchemy import Connection, Engine

from contract.ids import Version
from contract.tensors import unpack
from contract.workloads.base import Workload
from coordinator.ledger import runs
from coordinator.mathematics import Mathematics
from coordinator.pictures import NUM_IMAGES, Stage
from coordinator.samples import SEED, draws, images_of
from coordinator.weights import read_weights


class Gallery:
    """`stages` grows with each look at a new version, where the workload is one that draws."""

    def __init__(self, engine: Engine, workload: Workload, *, run: str) -> None:
        self._engine, self._workload, self._run = engine, workload, run
        self._manifest = workload.manifest()
        model = workload.open_model()
        self._model = model if draws(model) else None
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
            images = images_of(self._model, count=NUM_IMAGES, seed=SEED)
            title = "before training" if self.head == 0 else f"version {self.head:,}, {self._seconds():.0f} s"
            self.stages.append(Stage(title=title, images=images))
        return True

    def _weights(self, conn: Connection, record: runs.RunRecord) -> bytearray | None:
        return read_weights(
            conn,
            run=record.run,
            version=record.head_version,
            how=Mathematics.of(self._workload, record.training, seed=record.seed),
        )

    def _seconds(self) -> float:
        return time.monotonic() - self._began
