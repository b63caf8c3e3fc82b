"""The page for everybody: dashboard."""

from __future__ import annotations

import contextlib
import sys
import threading
from pathlib import Path

import click

from contract.logs import LogFormat
from coordinator.commands.options import (
    config_option,
    ledger,
    load,
    log_format_option,
    overrides_option,
    stop_on_interrupt,
)


@click.command()
@config_option
@overrides_option
@click.option(
    "--host", help="Address to serve the page at; 0.0.0.0 shows it to the network. [default: from the config]"
)
@click.option("--port", type=click.IntRange(0, 65535), help="Port to serve it at; 0 takes a free one. [default: 8400]")
@click.option("--open", "opens", is_flag=True, help="Open the page in a browser.")
@log_format_option
@click.option("--until-input-ends", is_flag=True, hidden=True)
def dashboard(
    config_file: Path | None,
    overrides: tuple[str, ...],
    host: str | None,
    port: int | None,
    opens: bool,
    log_format: LogFormat,
    until_input_ends: bool,
) -> None:
    """Serve a page on which everybody sees the model grow.

    It changes nothing, and needs no coordinator: an observer's file (`coordinator observe`) suffices.
    """
    import webbrowser

    from coordinator.dashboard.starting import open_page

    config = load(config_file, overrides)
    if log_format == "json":
        from contract.logs.lines import log_as_json

        log_as_json(process="dashboard", run=config.run.name, level=config.coordinator.log_level)
    stop = threading.Event()
    stop_on_interrupt(stop, says="closing the page")
    if until_input_ends:
        threading.Thread(target=_end_with_input, args=(stop,), daemon=True).start()
    page = open_page(ledger(config, config_file), config, config_file, host=host, port=port)

    def ready() -> None:
        click.echo("\n".join(page.told()))
        if opens:
            # A browser of the terminal keeps whoever opens it until it is left.
            threading.Thread(target=webbrowser.open, args=(page.link,), daemon=True).start()

    page.serving.run(stop, ready=ready)


def _end_with_input(stop: threading.Event) -> None:
    """However whoever started us ends, killed included, the operating system closes their end of the pipe."""
    with contextlib.suppress(OSError, ValueError):
        while sys.stdin.buffer.read(1):
            pass
    stop.set()
