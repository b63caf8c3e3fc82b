"""`coordinator start --from hub:OWNER/NAME`: a run that begins with weights that somebody has shown to the world."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from contract.errors import BlobError, ConfigError
from contract.tensors import unpack
from contract.workloads import WORKLOADS
from coordinator.hub.package import MODEL, WEIGHTS
from coordinator.hub.repository import Repository
from coordinator.ledger.runs import NewRun
from coordinator.mathematics import Mathematics
from coordinator.step import TrainingState

_WRITTEN = re.compile(r"hub:(?P<repo_id>[^/@]+/[^/@]+)(@(?P<revision>[^@]+))?")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HubOrigin:
    repository: Repository
    revision: str | None = None

    @classmethod
    def parse(cls, written: str, *, token: str | None = None) -> HubOrigin:
        match = _WRITTEN.fullmatch(written)
        if match is None:
            raise ValueError(f"{written} is not hub:OWNER/NAME or hub:OWNER/NAME@REVISION")
        return cls(repository=Repository(repo_id=match["repo_id"], token=token), revision=match["revision"])

    def state(self, new: NewRun) -> TrainingState:
        """The optimizer begins anew: what it remembered stays in its ledger."""
        self._require_same_model(new)
        how = Mathematics.of(WORKLOADS.build(new.workload, new.workload_options), new.training, seed=new.seed)
        weights = bytearray(self.repository.file(WEIGHTS, revision=self.revision).read_bytes())
        try:
            tensors = unpack(weights, how.vectors.manifest, max_bytes=how.vectors.manifest.blob_bytes)
        except BlobError as error:
            raise BlobError(f"{self.repository.repo_id}: {WEIGHTS}: {error}") from error
        return TrainingState.start(tensors, how)

    def _require_same_model(self, new: NewRun) -> None:
        described = self._described()
        its = (described.get("workload"), described.get("workload_version"), described.get("workload_options"))
        ours = (new.workload, new.training["workload_version"], dict(new.workload_options))
        if its != ours:
            names = ("workload", "version", "options")
            different = [
                f"{name} {theirs}, not {own}"
                for name, theirs, own in zip(names, its, ours, strict=True)
                if theirs != own
            ]
            raise ConfigError(
                [f"model: {self.repository.repo_id} is another model than the configuration's: {'; '.join(different)}"]
            )

    def _described(self) -> dict[str, Any]:
        path = self.repository.file(MODEL, revision=self.revision)
        try:
            described = json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            described = None
        if not isinstance(described, dict):
            raise BlobError(f"{self.repository.repo_id}: {MODEL} is not a table of JSON")
        return described
