"""Shows versions to the world, beside the training: a merge never waits for the Hub.

The newest version counts: where pushing is slower than training, versions are left out.
"""

from __future__ import annotations

import dataclasses
import queue
import random
import threading
import time
from typing import Final

from sqlalchemy import Engine

from contract.config import Config
from contract.errors import BlobError, HubAway, HubError, NotFound
from contract.ids import Version
from coordinator.hub import package
from coordinator.hub.repository import Commit, Repository
from coordinator.ledger import sharing
from coordinator.living_run import LivingRun

# The Hub counts commits by the hour, and nobody looks at a model page every second.
_SHORTEST_PAUSE_SECONDS: Final = 60.0
_LONGEST_PAUSE_SECONDS: Final = 900.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`version` was pushed, or `problem` says why one was not; neither where there was nothing to do."""

    version: Version | None = None
    url: str | None = None
    problem: str | None = None


@dataclasses.dataclass(slots=True, kw_only=True)
class _Upload:
    version: Version
    outcome: queue.Queue[Commit | HubError] = dataclasses.field(default_factory=lambda: queue.Queue(1))


@dataclasses.dataclass(slots=True, kw_only=True)
class Push:
    """The upload has a thread that nobody waits for: a commit is made whole or not at all."""

    engine: Engine
    living: LivingRun
    repository: Repository
    config: Config
    shortest_pause_seconds: float = _SHORTEST_PAUSE_SECONDS
    _last: Version | None = None
    _knows_last: bool = False
    _under_way: _Upload | None = None
    _not_before: float = 0.0
    _num_failures: int = 0
    _is_refused: bool = False

    def run_once(self) -> Report:
        if self._under_way is not None:
            return self._look_after(self._under_way, patience_seconds=0.0)
        head = self.living.head
        every = self.config.huggingface.push_interval
        if self._is_refused or time.monotonic() < self._not_before or not self._is_new(Version(head - head % every)):
            return Report()
        return self._begin()

    def finish(self, *, patience_seconds: float) -> Report:
        """The last version is pushed whatever its number."""
        deadline = time.monotonic() + patience_seconds
        if self._under_way is not None:
            self._look_after(self._under_way, patience_seconds=patience_seconds)
        if self._is_refused or self._under_way is not None or not self._is_new(self.living.head):
            return Report()
        report = self._begin()
        if self._under_way is None:
            return report
        found = self._look_after(self._under_way, patience_seconds=max(0.0, deadline - time.monotonic()))
        if self._under_way is not None:
            return Report(problem="the last version is not on the Hub yet; `coordinator push` sends it")
        return found

    def _is_new(self, version: Version) -> bool:
        if not self._knows_last:
            with self.engine.begin() as conn:
                last = sharing.last_push(conn, run=self.living.run, repository=self.repository.repo_id)
            self._last, self._knows_last = None if last is None else last.version, True
        return version > 0 and (self._last is None or version > self._last)

    def _begin(self) -> Report:
        try:
            with self.engine.begin() as conn:
                contents = package.read(conn, run=self.living.name)
            files = package.packed(contents, self.config)
        except (NotFound, BlobError, RuntimeError, ArithmeticError, OSError, MemoryError) as error:
            # A version that was pruned meanwhile, a full disk, a model that has lost its mind: the training goes on.
            return self._failed(str(error).splitlines()[0])
        upload = self._under_way = _Upload(version=contents.version)
        threading.Thread(target=self._upload, args=(upload, files), name="push", daemon=True).start()
        return Report()

    def _upload(self, upload: _Upload, files: dict[str, bytes]) -> None:
        message = f"Version {upload.version} of {self.living.name}"
        try:
            upload.outcome.put(self.repository.commit(files, message=message))
        except HubError as error:
            upload.outcome.put(error)

    def _look_after(self, upload: _Upload, *, patience_seconds: float) -> Report:
        try:
            outcome = upload.outcome.get(timeout=patience_seconds) if patience_seconds else upload.outcome.get_nowait()
        except queue.Empty:
            return Report()
        self._under_way = None
        if isinstance(outcome, HubError):
            self._is_refused = not isinstance(outcome, HubAway)
            advice = "; nothing is pushed until this coordinator is started again" if self._is_refused else ""
            return self._failed(f"{outcome}{advice}")
        with self.engine.begin() as conn:
            sharing.record_push(
                conn, run=self.living.run, version=upload.version, repository=self.repository.repo_id,
                commit=outcome.oid, url=outcome.url,
            )  # fmt: skip
        self._last, self._num_failures = upload.version, 0
        self._not_before = time.monotonic() + self.shortest_pause_seconds
        return Report(version=upload.version, url=outcome.url)

    def _failed(self, problem: str) -> Report:
        pause = min(_LONGEST_PAUSE_SECONDS, self.shortest_pause_seconds * 2**self._num_failures)
        self._not_before = time.monotonic() + pause * random.uniform(0.5, 1)  # noqa: S311
        self._num_failures += 1
        return Report(problem=f"version {self.living.head} is not on the Hub: {problem}")
