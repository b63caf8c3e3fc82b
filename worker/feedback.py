"""How this process sends its gradients: the codec, and what codecs left out before, in memory and on disk."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import platform
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from contract.compressors import Codec, blob_manifest
from contract.compressors.feedback import Feedback, Residue
from contract.compressors.ladder import codecs_of
from contract.errors import BlobError
from contract.ids import Version
from contract.tensors import Manifest, TensorSpec, pack, sha256, unpack
from contract.workloads.base import GradientResult, Workload
from worker.ledger import Joined, Lease, Settled
from worker.uplink import Uplink

_WRITES_EVERY_SECONDS: Final = 5.0
# A large model is written more rarely: a night of training should not wear somebody's disk.
_WRITTEN_PER_SECOND: Final = 1 << 20
_MOST_PROCESSES: Final = 64
_RUNS_KEPT: Final = 4
_KEPT_SECONDS: Final = 30 * 24 * 3600
_HEAD_BYTES: Final = 4096
_NOT_KEPT: Final = "what the codec leaves out is not remembered beyond this process"


class ResidueFile:
    """One process's own, until it closes it or ends. Written behind, so that no unit waits for a disk."""

    def __init__(self, path: Path, lock: FileLock, manifest: Manifest, say: Callable[[str], None]) -> None:
        self._path = path
        self._lock = lock
        self._manifest = manifest
        self._say = say
        self._has_complained = False
        self._condition = threading.Condition()
        self._waiting: list[Residue | None] = []
        self._is_closing = False
        self._pause = max(_WRITES_EVERY_SECONDS, manifest.num_bytes / _WRITTEN_PER_SECOND)
        self._thread = threading.Thread(target=self._run, name="feedback", daemon=True)
        self._thread.start()

    @classmethod
    def take(cls, folder: Path, run: str, manifest: Manifest, say: Callable[[str], None]) -> ResidueFile | None:
        """The first that no other process of this person holds; None where nothing can be written. `run` is the
        fingerprint of all that must be equal for a memory to make sense."""
        try:
            _sweep(folder, spared=run)
            mine = folder / run
            mine.mkdir(parents=True, exist_ok=True)
            for place in range(_MOST_PROCESSES):
                lock = FileLock(mine / f"{place}.lock")
                with contextlib.suppress(Timeout):
                    lock.acquire(timeout=0)
                    return cls(mine / f"{place}.bin", lock, manifest, say)
        except OSError as error:
            say(f"{_NOT_KEPT}: {folder}: {error.strerror or error}")
        return None

    def read(self) -> Residue | None:
        """None where there is nothing, or nothing sound."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, BlobError):
            with self._path.open("rb") as file:
                head = json.loads(file.readline(_HEAD_BYTES))
                content = bytearray(file.read(self._manifest.blob_bytes + 1))
            if sha256(content).hex() == head["sha256"]:
                tensors = unpack(content, self._manifest, max_bytes=self._manifest.blob_bytes)
                return Residue(version=Version(int(head["version"])), tensors=tensors)
        return None

    def keep(self, residue: Residue | None) -> None:
        with self._condition:
            self._waiting = [residue]
            self._condition.notify()

    def close(self) -> None:
        with self._condition:
            self._is_closing = True
            self._condition.notify()
        self._thread.join(timeout=60)
        self._lock.release()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._waiting or self._is_closing)
                waiting, self._waiting = self._waiting, []
                is_closing = self._is_closing
            if waiting:
                self._write(waiting[0])
            if is_closing:
                return
            with self._condition:
                self._condition.wait_for(lambda: self._is_closing, timeout=self._pause)

    def _write(self, residue: Residue | None) -> None:
        draft = self._path.with_suffix(".partial")
        try:
            if residue is None:
                self._path.unlink(missing_ok=True)
                return
            content = pack(residue.tensors)
            head = json.dumps({"version": residue.version, "sha256": sha256(content).hex()})
            with draft.open("wb") as file:
                file.write(f"{head}\n".encode())
                file.write(content)
            draft.replace(self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            if not self._has_complained:
                self._has_complained = True
                self._say(f"{_NOT_KEPT}: {self._path}: {error.strerror}")


def _sweep(folder: Path, *, spared: str) -> None:
    """Runs that are long over, or many runs ago; but nothing that a process holds."""
    runs = sorted((run for run in folder.glob("*") if run.is_dir() and run.name != spared), key=_age)
    for place, run in enumerate(runs, start=1):
        if place < _RUNS_KEPT and _age(run) < _KEPT_SECONDS:
            continue
        for content in sorted(run.glob("*.bin")):
            lock = FileLock(content.with_suffix(".lock"))
            with contextlib.suppress(Timeout, OSError):
                lock.acquire(timeout=0)
                content.unlink(missing_ok=True)
                lock.release()
                content.with_suffix(".lock").unlink(missing_ok=True)
        # Whatever else is in it is not ours to take away.
        with contextlib.suppress(OSError):
            run.rmdir()


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    codec: str
    blob: bytes


class Sender:
    """Encodes gradients, in a codec that suits the line, with what was left out of earlier ones. One thread's, which
    hears the fates of its gradients through a queue that another fills."""

    def __init__(
        self,
        feedback: Feedback,
        *,
        codecs: Sequence[Codec],
        uplink: Uplink,
        file: ResidueFile | None,
        fates: deque[Settled],
    ) -> None:
        self._feedback = feedback
        self._codecs = codecs
        self._file = file
        self._fates = fates
        self.uplink = uplink

    def encoded(self, gradient: GradientResult, lease: Lease) -> Encoded:
        while self._fates:
            fate = self._fates.popleft()
            (self._feedback.settle if fate.was_used else self._feedback.give_back)((fate.unit, fate.attempt))
        codec = self._codecs[self.uplink.choose()]
        name = (lease.unit, lease.attempt)
        blob = self._feedback.encoded(
            codec, gradient.tensors, seed=lease.seed, version=lease.base_version, sent_as=name
        )
        return Encoded(codec=codec.name, blob=blob)

    def delivered(self) -> None:
        """Only now: a process that is killed before has not sent what it encoded."""
        if self._file is not None:
            self._file.keep(self._feedback.residue)

    def undelivered(self, lease: Lease) -> None:
        self._feedback.give_back((lease.unit, lease.attempt))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def open_sender(
    joined: Joined,
    workload: Workload,
    *,
    folder: Path,
    person: str,
    say: Callable[[str], None],
    fates: deque[Settled],
) -> Sender:
    buffers = workload.buffers()
    specs = [spec for spec in workload.manifest().tensors if spec.name not in buffers]
    kept = Manifest(tensors=tuple(TensorSpec(name=spec.name, dtype="F32", shape=spec.shape) for spec in specs))
    codecs = codecs_of(joined.training)
    is_lossless = all(codec.lossless for codec in codecs)
    file = None if is_lossless else ResidueFile.take(folder, _fingerprint(joined, kept, person), kept, say)
    feedback = Feedback(
        manifest=workload.manifest(),
        buffers=buffers,
        decay=joined.training["feedback_decay"],
        max_age=joined.training["feedback_max_age"],
        residue=None if file is None else file.read(),
    )
    sizes = [blob_manifest(codec, workload.manifest(), whole=buffers).blob_bytes for codec in codecs]
    return Sender(feedback, codecs=codecs, uplink=Uplink(sizes), file=file, fates=fates)


def _fingerprint(joined: Joined, manifest: Manifest, person: str) -> str:
    """The moment of its making tells a run from one of the same name and number in another ledger. A home folder may
    be shared by several computers, and whether locks hold there is a matter of luck."""
    facts = (platform.node(), person, joined.run, joined.run_created_at, joined.workload, manifest.to_json())
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]
