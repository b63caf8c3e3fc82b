"""Writes a first configuration from a few answers, and explains the choices it made."""

from __future__ import annotations

import dataclasses
import os
import shlex
import socket
from pathlib import Path

from contract.config import Config, render_template
from contract.config.loading import DEFAULT_FILE
from contract.errors import ConfigError
from coordinator.class_size import num_gradients_for

_USUAL_PORT = 5432
_PORTS_TO_TRY = 50


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    class_size: int
    host: str | None = None
    database_url: str | None = None


def write_config(file: Path, answers: Answers, *, force: bool) -> str:
    """Answers with what was chosen, and why."""
    if file.exists() and not force:
        raise ConfigError(["it exists already; edit it, or replace it with --force"], str(file))
    # Alone there is nobody to follow, and the run can be repeated to the bit.
    per_update = 1 if answers.class_size == 1 else "auto"
    config = Config()
    if answers.database_url is None:
        host = answers.host or "127.0.0.1"
        changes: dict[str, object] = {"host": host, "port": free_port(host)}
        where = f"a private PostgreSQL at {host} port {changes['port']}"
    else:
        changes = {"embedded": False, "url": answers.database_url}
        where = "your PostgreSQL; its address is in the environment variable DATABASE_URL, not in the file"
    config = config.model_copy(
        update={
            "database": type(config.database).model_validate({**_plain(config.database), **changes}),
            "training": config.training.model_copy(update={"num_workunits_per_update": per_update}),
        }
    )
    try:
        file.write_text(render_template(config), encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"it cannot be written: {error.strerror}"], str(file)) from error
    option = "" if str(file) == DEFAULT_FILE else f" --config {shlex.quote(str(file))}"
    return "\n".join(
        [
            f"wrote {file}",
            f"  database: {where}",
            _choice_explained(answers.class_size),
            f"next: coordinator start{option}, and in another terminal coordinator invite{option} NAME...",
        ]
    )


def _choice_explained(class_size: int) -> str:
    if class_size == 1:
        return "  training.num_workunits_per_update: 1, for one computer"
    few, many = max(1, class_size // 2), class_size
    return (
        "  training.num_workunits_per_update: auto, so that no update waits for the slowest laptop:\n"
        f"    with {many} computers at work an update takes {_units(many)}, with {few} of them {_units(few)};\n"
        "    write a number instead for a run that can be repeated exactly"
    )


def _units(num_workers: int) -> str:
    num_gradients = num_gradients_for(num_workers)
    return "1 work unit" if num_gradients == 1 else f"{num_gradients} work units"


def _plain(section: object) -> dict[str, object]:
    return {name: getattr(section, name) for name in type(section).model_fields}  # type: ignore[attr-defined]


def free_port(host: str) -> int:
    """5432 where it is free; many computers have a PostgreSQL of their own on it."""
    for port in range(_USUAL_PORT, _USUAL_PORT + _PORTS_TO_TRY):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            if os.name == "posix":
                # A port whose server has only just stopped is free; on Windows the option would mean "steal it".
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    return _USUAL_PORT
