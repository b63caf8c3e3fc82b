"""What is pushed of a version: weights, what they are weights of, the ledger's record, pictures, a model card."""

from __future__ import annotations

import dataclasses
import datetime
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from sqlalchemy import Connection

from contract.config import Config
from contract.errors import MissingExtra
from contract.ids import Version
from contract.tensors import Manifest, unpack
from contract.workloads import WORKLOADS
from contract.workloads.base import Workload
from coordinator import curves, pictures
from coordinator.duties.evaluate import PREFIX
from coordinator.hub.card import Card
from coordinator.ledger import runs, sharing, versions, watching
from coordinator.mathematics import Mathematics
from coordinator.pictures import PICTURE
from coordinator.samples import sample_of
from coordinator.weights import require_weights

WEIGHTS: Final = "model.safetensors"
MODEL: Final = "config.json"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Read in one transaction; what is made of it takes longer, and needs no database."""

    record: runs.RunRecord
    version: Version
    sha256: bytes
    optimizer_step: int
    weights: bytearray
    facts: sharing.Facts
    metrics: Mapping[str, list[tuple[Version, float]]]


def read(conn: Connection, *, run: str, version: Version | None = None) -> Contents:
    """The newest version, or a certain one. NotFound where its weights were pruned."""
    record = runs.read_run(conn, name=run)
    version = record.head_version if version is None else version
    how = Mathematics.of(WORKLOADS.build(record.workload, record.workload_options), record.training, seed=record.seed)
    weights = require_weights(conn, record, version=version, how=how)
    found = versions.find_version(conn, run=record.run, version=version)
    return Contents(
        record=record,
        version=version,
        sha256=found.sha256,
        optimizer_step=found.optimizer_step,
        weights=weights,
        facts=sharing.facts(conn, run=record.run, version=version),
        metrics=watching.metrics(conn, run=record.run),
    )


def packed(contents: Contents, config: Config) -> dict[str, bytes]:
    """By the names that the files have in the repository."""
    record = contents.record
    workload = WORKLOADS.build(record.workload, record.workload_options)
    manifest = workload.manifest()
    drawn = _pictures(contents, workload, manifest)
    card = _card(contents, config, manifest, {name: shows for name, (_, shows) in drawn.items()})
    return {
        # Already in the format of safetensors, which is how the ledger keeps them.
        WEIGHTS: bytes(contents.weights),
        MODEL: _json(described(record)),
        "metadata.json": _json(_metadata(contents, manifest)),
        **{name: content for name, (content, _) in drawn.items()},
        "README.md": card.text().encode(),
    }


def described(record: runs.RunRecord) -> dict[str, Any]:
    """What model the weights belong to: all that must be equal for somebody to go on with them."""
    return {
        "library_name": "barnraise",
        "workload": record.workload,
        "workload_version": record.training["workload_version"],
        "workload_options": dict(record.workload_options),
    }


def _metadata(contents: Contents, manifest: Manifest) -> dict[str, Any]:
    record, facts = contents.record, contents.facts
    return {
        "run": record.name,
        "version": contents.version,
        "optimizer_step": contents.optimizer_step,
        "sha256": contents.sha256.hex(),
        "num_values": manifest.num_values,
        "mode": record.mode,
        "seed": record.seed,
        "data": dict(record.data),
        "training": dict(record.training, seed=record.seed),
        "began_at": _moment(facts.started_at),
        "finished_at": _moment(facts.finished_at),
        "parent_run": facts.parent,
        "parent_version": facts.parent_version,
        "num_gradients": facts.num_gradients,
        "num_samples": facts.num_samples,
        "num_bytes_uploaded": facts.num_bytes,
        "num_volunteers": facts.num_volunteers,
        "credits": [{"name": name, "num_samples": num_samples} for name, num_samples in facts.credits],
        "held_out": _held_out(contents),
    }


def _card(contents: Contents, config: Config, manifest: Manifest, drawn: Mapping[str, str]) -> Card:
    record, facts = contents.record, contents.facts
    parent = None if facts.parent is None else f"run {facts.parent}, version {facts.parent_version}"
    return Card(
        repo_id=config.huggingface.repo_id or "",
        run=record.name,
        description=config.run.description,
        license=config.huggingface.license,
        workload=record.workload,
        workload_options=record.workload_options,
        data=record.data,
        mode=record.mode,
        training=record.training,
        version=contents.version,
        num_parameters=manifest.num_values,
        num_gradients=facts.num_gradients,
        num_samples=facts.num_samples,
        num_bytes=facts.num_bytes,
        num_volunteers=facts.num_volunteers,
        credits=facts.credits,
        metrics=_held_out(contents),
        parent=parent,
        began=None if facts.started_at is None else facts.started_at.date().isoformat(),
        pictures=drawn,
    )


def _held_out(contents: Contents) -> dict[str, float]:
    """The newest measurement of each that is not newer than the version itself."""
    found = {}
    for name, values in contents.metrics.items():
        past = [value for version, value in values if version <= contents.version]
        if name.startswith(PREFIX) and past:
            found[name.removeprefix(PREFIX)] = past[-1]
    return found


def _pictures(contents: Contents, workload: Workload, manifest: Manifest) -> dict[str, tuple[bytes, str]]:
    """With what each shows. A workload that draws nothing has no samples, a run without an update no curves."""
    drawn = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Beside a run that trains: one processor, as everything here.
        torch.set_num_threads(1)
        model = workload.open_model()
        model.load(unpack(contents.weights, manifest, max_bytes=len(contents.weights)))
        made = sample_of(model)
        if made is not None and made.media_type == PICTURE:
            drawn["samples.png"] = (made.content, "what the model draws")
        past = {
            name: [(version, value) for version, value in values if version <= contents.version]
            for name, values in contents.metrics.items()
        }
        panels = curves.losses({name: values for name, values in past.items() if values})
        if panels:
            try:
                pictures.save_curves(panels, folder / "losses.png", title=f"{contents.record.workload}: losses")
                drawn["losses.png"] = ((folder / "losses.png").read_bytes(), "how the losses went")
            except MissingExtra:
                # The card does without; the curves are an extra of the coordinator's.
                pass
    return drawn


def _moment(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(datetime.UTC).isoformat(timespec="seconds")


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
