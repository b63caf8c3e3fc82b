"""Leading a run: start."""

from __future__ import annotations

import threading
from pathlib import Path

import click

from coordinator.commands.options import config_option, load, overrides_option, stop_on_interrupt


@click.command()
@config_option
@overrides_option
def start(config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Lead the run of the configuration, from its beginning or from where it stands."""
    from rich.console import Console

    from coordinator.place import open_place
    from coordinator.starting import Start

    config = load(config_file, overrides)
    stop = threading.Event()
    stop_on_interrupt(stop)
    place = open_place(config, config_file)
    Start(config=config, config_file=config_file, place=place, console=Console(), stop=stop).run()
