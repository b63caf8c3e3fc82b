"""config.yaml: what may stand in it, how it is read, and how it is shown.

Imports pydantic and yaml (about a tenth of a second, no torch, no database driver): a command imports this inside
its body, so that `--help` need not wait.
"""

from contract.config.environment import export_token
from contract.config.fields import Section
from contract.config.ledger_sections import Coordinator, Database, HuggingFace, SslMode, Worker
from contract.config.loading import find_config_file, load_config, parse_config, resolve_path
from contract.config.models import SECTIONS, Config
from contract.config.problems import PROBLEM_KINDS, nearest
from contract.config.rendering import generated_files, json_schema, render_reference, render_template
from contract.config.rules import RULES
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
from contract.config.validation import wrong_value

__all__ = [
    "Config",
    "Section",
    "SECTIONS",
    "Database",
    "SslMode",
    "Run",
    "Model",
    "Data",
    "Training",
    "Aggregation",
    "Staleness",
    "Compression",
    "Privacy",
    "Worker",
    "HuggingFace",
    "Coordinator",
    "export_token",
    "find_config_file",
    "load_config",
    "parse_config",
    "resolve_path",
    "render_template",
    "render_reference",
    "json_schema",
    "generated_files",
    "RULES",
    "PROBLEM_KINDS",
    "nearest",
    "wrong_value",
]
