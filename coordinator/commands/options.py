"""What several commands share: their options, the configuration, the ledger, and how Ctrl-C ends them."""

from __future__ import annotations

import shlex
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from contract.config import Config
    from coordinator.place import Place

config_option = click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="Configuration file. [default: config.yaml]"
)
overrides_option = click.option(
    "--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Overrides a key of the configuration."
)

log_format_option = click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="json: no live view, and all that is said goes to standard error, a JSON object a line.",
)  # fmt: skip


def as_typed(config_file: Path | None, overrides: tuple[str, ...]) -> str:
    """What names the run on the command line, for commands that people are told to type; nothing that may be secret."""
    named = [word for override in overrides if override.startswith("run.name=") for word in ("--set", override)]
    return "".join(
        f" {shlex.quote(word)}" for word in [*(["--config", str(config_file)] if config_file else []), *named]
    )


def load(config_file: Path | None, overrides: tuple[str, ...]) -> Config:
    from contract.config import load_config

    return load_config(config_file, overrides=overrides)


def ledger(config: Config, config_file: Path | None) -> Place:
    """The place, and a refusal when ledger and code do not belong together."""
    from contract.database import check_schema
    from coordinator.place import open_place

    place = open_place(config, config_file)
    with place.engine.connect() as conn:
        check_schema(conn)
    return place


def stop_on_interrupt(stop: threading.Event, *, says: str = "stopping after this turn") -> None:
    """The first Ctrl-C lets what is under way end; the second does not wait."""

    def interrupted(_signal: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        click.echo(f"{says}; Ctrl-C once more stops at once", err=True)
        stop.set()

    signal.signal(signal.SIGINT, interrupted)
    signal.signal(signal.SIGTERM, interrupted)
