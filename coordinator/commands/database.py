"""The private PostgreSQL: database start, stop, status."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from coordinator.commands.options import config_option, load, overrides_option

if TYPE_CHECKING:
    from coordinator.embedded import EmbeddedSettings


@click.group()
def database() -> None:
    """The private PostgreSQL of database.embedded."""


@database.command("start")
@config_option
@overrides_option
def database_start(config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Start it, unless it runs."""
    from coordinator.embedded import ensure_running

    server = ensure_running(_embedded(config_file, overrides))
    click.echo(f"PostgreSQL {server.version} answers at {server.public_host} port {server.public_port}")


@database.command("stop")
@config_option
@overrides_option
def database_stop(config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Stop it; the data stays."""
    from coordinator.embedded import stop

    stop(_embedded(config_file, overrides))
    click.echo("stopped; the data stays where it is")


@database.command("status")
@config_option
@overrides_option
def database_status(config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Say whether it runs, where its data is and how large."""
    from coordinator.embedded import status

    now = status(_embedded(config_file, overrides))
    state = f"runs (process {now.pid}, port {now.port})" if now.running else "does not run"
    front = f", with TLS (process {now.front_pid})" if now.front_pid else ""
    click.echo(f"PostgreSQL {now.version or ''} {state}{front}")
    click.echo(f"data: {now.data_directory} ({now.num_bytes / 1e6:.0f} MB), logs: {now.log_directory}")


def _embedded(config_file: Path | None, overrides: tuple[str, ...]) -> EmbeddedSettings:
    from coordinator.place import embedded_settings

    return embedded_settings(load(config_file, overrides), config_file)
