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
    """The options that the ledger keeps: keys of the section that were written and that the workload has, then those
    under `options`. A key left out has the workload's default, not the section's."""
    known = {field.name for field in dataclasses.fields(WORKLOADS.get(section.name))}  # type: ignore[arg-type]
    written = {key for key in section.model_fields_set if key in known}
    return {**{key: getattr(section, key) for key in sorted(written)}, **section.options}


def require_fit(workload: Workload, dataset: Dataset) -> None:
    misfit = workload.misfit(dataset)
    if misfit is not None:
        raise ConfigError([f"model.name: {workload.name} {misfit}"])
