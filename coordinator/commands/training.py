"""Leading a run: start."""

from __future__ import annotations

import threading
from pathlib import Path

import click

from coordinator.commands.options import config_option, load, overrides_option, stop_on_interrupt


@click.command()
@config_option
@overrides_option
@click.option("--plain", is_flag=True, help="Lines instead of the live view.")
def start(config_file: Path | None, overrides: tuple[str, ...], plain: bool) -> None:
    """Lead the run of the configuration, from its beginning or from where it stands."""
    from rich.console import Console

    from coordinator.greeting import address_of
    from coordinator.place import open_place
    from coordinator.screen import shown
    from coordinator.starting import Start

    config = load(config_file, overrides)
    stop = threading.Event()
    stop_on_interrupt(stop)
    place = open_place(config, config_file)
    console = Console(soft_wrap=True)
    with shown(console, place.engine, run=config.run.name, address=address_of(place.public), plain=plain) as view:
        Start(config=config, config_file=config_file, place=place, console=console, view=view, stop=stop).run()
