"""The whole configuration."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field
from pydantic.fields import FieldInfo

from contract.config.fields import Section
from contract.config.ledger_sections import Coordinator, Database, HuggingFace, Worker
from contract.config.training_sections import (
    Aggregation,
    Compression,
    Data,
    Model,
    Privacy,
    Run,
    Staleness,
    Training,
)


class Config(Section):
    """Barnraise's configuration: every key has a default, an empty section is a section of defaults."""

    database: Database = Field(default_factory=Database)
    run: Run = Field(default_factory=Run)
    model: Model = Field(default_factory=Model)
    data: Data = Field(default_factory=Data)
    training: Training = Field(default_factory=Training)
    aggregation: Aggregation = Field(default_factory=Aggregation)
    staleness: Staleness = Field(default_factory=Staleness)
    compression: Compression = Field(default_factory=Compression)
    privacy: Privacy = Field(default_factory=Privacy)
    worker: Worker = Field(default_factory=Worker)
    huggingface: HuggingFace = Field(default_factory=HuggingFace)
    coordinator: Coordinator = Field(default_factory=Coordinator)


SECTIONS: Mapping[str, type[Section]] = {name: type(section) for name, section in Config()}


def field_at(section: str, key: str) -> FieldInfo:
    return SECTIONS[section].model_fields[key]
