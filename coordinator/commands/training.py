"""Training: start, and train-local."""

from __future__ import annotations

import threading
from pathlib import Path

import click

from contract.logs import LogFormat
from coordinator.commands.options import (
    as_typed,
    config_option,
    load,
    log_format_option,
    overrides_option,
    stop_on_interrupt,
)


@click.command()
@config_option
@overrides_option
@click.option(
    "--epochs", type=click.IntRange(1), help="Epochs in all; a run that exists, even a finished one, is given more."
)
@click.option(
    "--from", "origin", metavar="hub:OWNER/NAME[@REVISION]", help="A new run begins with these weights from the Hub."
)
@click.option("--plain", is_flag=True, help="Lines instead of the live view.")
@log_format_option
def start(
    config_file: Path | None,
    overrides: tuple[str, ...],
    epochs: int | None,
    origin: str | None,
    plain: bool,
    log_format: LogFormat,
) -> None:
    """Lead the run of the configuration, from its beginning or from where it stands."""
    from rich.console import Console

    from contract.logs.console import LogConsole
    from contract.logs.lines import log_as_json
    from coordinator.greeting import address_of
    from coordinator.hub.beginning import HubOrigin
    from coordinator.place import open_place
    from coordinator.screen import shown
    from coordinator.starting import Start

    more = () if epochs is None else (f"training.num_epochs={epochs}",)
    config = load(config_file, (*overrides, *more))
    console = Console(soft_wrap=True)
    if log_format == "json":
        log_as_json(process="coordinator", run=config.run.name, level=config.coordinator.log_level)
        console = LogConsole(process="coordinator", topic="start")
    token = config.huggingface.token
    try:
        weights = origin and HubOrigin.parse(origin, token=None if token is None else token.get_secret_value())
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--from") from None
    stop = threading.Event()
    stop_on_interrupt(stop)
    place = open_place(config, config_file)
    with shown(console, place.engine, run=config.run.name, address=address_of(place.public), plain=plain) as view:
        Start(
            config=config,
            config_file=config_file,
            place=place,
            console=console,
            view=view,
            stop=stop,
            epochs=epochs,
            origin=weights or None,
            options=as_typed(config_file, overrides),
            overrides=overrides,
        ).run()


@click.command("train-local")
@config_option
@overrides_option
@click.option("--updates", type=click.IntRange(1), help="Updates to make. [default: as many as the epochs come to]")
@click.option(
    "--save",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the weights here at the end, as safetensors.",
)
@click.option("--device", default="cpu", show_default=True, help="Device to compute on, in PyTorch's words.")
def train_local(
    config_file: Path | None, overrides: tuple[str, ...], updates: int | None, file: Path | None, device: str
) -> None:
    """Train the same run in this process alone: no database, no volunteers.

    Ctrl-C ends it after the update under way; it is evaluated and saved all the same.
    """
    from rich.console import Console

    from coordinator.solo import Solo

    if file is not None and not file.absolute().parent.is_dir():
        # Said before the training, not after an hour of it.
        raise click.BadParameter(f"there is no folder {file.absolute().parent}", param_hint="--save")
    config = load(config_file, overrides)
    stop = threading.Event()
    stop_on_interrupt(stop)
    Solo(
        config=config, config_file=config_file, console=Console(), stop=stop, updates=updates, file=file, device=device
    ).run()
