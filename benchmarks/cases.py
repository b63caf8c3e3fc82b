"""What is aggregated: the same gradients as blobs in memory, as files, and in PostgreSQL."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from sqlalchemy import Connection
from torch.utils.dlpack import from_dlpack

from benchmarks.gradients import gradients
from benchmarks.reference import Array, Reference
from benchmarks.server import bench_ledger, quiet_server
from contract.compressors import Decoder, encoded, open_blob, range_reader
from contract.compressors.none import Whole
from contract.ids import WorkerId
from contract.tensors import Manifest
from coordinator.blobs import GradientBytes
from coordinator.ledger import gradients as ledger
from worker import ledger as volunteer
from worker.ledger import Submission

NUM_BYZANTINE: Final = 3
PART_BYTES: Final = 4 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`paths` are files of one blob each, for the peers; `blobs` the same in memory, for us.

    They lie one after another, as the peers' rows do: an operating system gives so much memory in larger pages, which
    are read up to twice as fast.
    """

    number: int
    manifest: Manifest
    paths: Sequence[Path]
    blobs: Sequence[memoryview]
    reference: Reference
    every: int

    @classmethod
    def made(cls, number: int, num_values: int, folder: Path) -> Case:
        paths, blobs = [], []
        for place, tensors in enumerate(gradients(num_values, number=number, hostile=NUM_BYZANTINE)):
            manifest = Manifest.of(tensors)
            blob = encoded(Whole(), tensors, seed=0)
            paths.append(folder / f"{place}.blob")
            paths[-1].write_bytes(blob)
            if not blobs:
                # Numbers of four bytes begin at multiples of four.
                room = np.empty((number, len(blob) + -len(blob) % 64), dtype=np.uint8)
            blobs.append(memoryview(room[place])[: len(blob)])
            blobs[-1][:] = blob
        offset, every = len(manifest.header()), max(1, num_values // 1000)
        rows = [np.frombuffer(blob, dtype=np.float32, offset=offset) for blob in blobs]
        reference = Reference(rows, num_byzantine=NUM_BYZANTINE, every=every)
        return cls(number=number, manifest=manifest, paths=paths, blobs=blobs, reference=reference, every=every)

    @property
    def title(self) -> str:
        return f"{self.number} gradients of {self.manifest.num_values:,} values"

    @property
    def sizes(self) -> Mapping[str, int]:
        return {spec.name: spec.num_values for spec in self.manifest.tensors}

    def decoders(self) -> list[Decoder]:
        return [open_blob(Whole(), range_reader(blob), len(blob), self.manifest) for blob in self.blobs]

    def read_once(self) -> None:
        """The least that any rule can do: look at every value."""
        for blob in self.blobs:
            offset = len(self.manifest.header())
            from_dlpack(np.frombuffer(blob, dtype=np.float32, offset=offset)).sum()

    def error(self, rule: str, values: Array) -> float:
        """Relative, in the Euclidean norm, on the sampled coordinates."""
        right = self.reference.aggregate(rule)
        return float(np.linalg.norm(values - right) / np.linalg.norm(right))


@contextlib.contextmanager
def in_postgres(case: Case) -> Iterator[Callable[[], list[Decoder]]]:
    """The same blobs where the coordinator finds them, in parts as they are shipped."""
    with (
        quiet_server() as server,
        bench_ledger(server) as bench,
        bench.volunteer() as engine,
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        bench.owner.connect() as reader,
    ):
        bench.open_units(case.number)
        for blob in case.blobs:
            _upload(connection, WorkerId(bench.workers.start), blob)
        waiting = ledger.waiting_gradients(reader, run=bench.run)

        def opened() -> list[Decoder]:
            return [
                open_blob(Whole(), GradientBytes(reader, one.gradient).read, one.num_bytes, case.manifest)
                for one in waiting
            ]

        yield opened


def _upload(connection: Connection, worker: WorkerId, blob: memoryview) -> None:
    lease = volunteer.claim(connection, worker=worker)
    assert lease is not None
    parts = [bytes(blob[start : start + PART_BYTES]) for start in range(0, len(blob), PART_BYTES)]
    for number, part in enumerate(parts[:-1]):
        volunteer.upload_part(connection, lease=lease, part=number, content=part)
    submission = Submission(
        codec="none",
        num_samples=1,
        num_parts=len(parts),
        num_bytes=len(blob),
        sha256=hashlib.sha256(blob).digest(),
        losses={"loss": 0.5},
    )
    volunteer.submit(connection, lease=lease, submission=submission, last_part=parts[-1])
