"""Models and their losses, one workload per file."""

from __future__ import annotations

import dataclasses
from typing import Final

from contract.config import Model
from contract.errors import ConfigError
from contract.registry import Registry
from contract.sources.base import Dataset
from contract.workloads.base import Workload
from contract.workloads.cnn import Cnn
from contract.workloads.dcgan import Dcgan
from contract.workloads.mlp import Mlp
from contract.workloads.small_transformer import SmallTransformer
from contract.workloads.tiny_lstm import TinyLstm

WORKLOADS: Final = Registry[Workload]("workload", Dcgan, Mlp, Cnn, TinyLstm, SmallTransformer)


def options_from(section: Model) -> dict[str, object]:
    """The options that the ledger keeps: keys that somebody changed, then those under `options`. The section's defaults
    are a GAN's, and every workload has its own."""
    known = {field.name for field in dataclasses.fields(WORKLOADS.get(section.name))}  # type: ignore[arg-type]
    fields = type(section).model_fields
    named = [name for name in fields if name not in ("name", "options")]
    changed = {name: getattr(section, name) for name in named if getattr(section, name) != fields[name].default}
    unknown = [f"model.{name}: model.name: {section.name} has no such option" for name in changed if name not in known]
    if unknown:
        raise ConfigError(unknown)
    return {**changed, **section.options}


def require_fit(workload: Workload, dataset: Dataset) -> None:
    misfit = workload.misfit(dataset)
    if misfit is not None:
        raise ConfigError([f"model.name: {workload.name} {misfit}"])
