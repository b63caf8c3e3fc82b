"""Showing what it is: demo."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1), default=45, show_default=True, help="How long to train.")
@click.option("--workload", default="dcgan", show_default=True, help="What to train.")
@click.option("--workers", type=click.IntRange(1, 64), default=3, show_default=True, help="How many workers.")
@click.option(
    "--directory", type=click.Path(path_type=Path, file_okay=False), default=Path("demo"), show_default=True,
    help="Where the pictures go.",
)  # fmt: skip
@click.option("--plain", is_flag=True, help="Lines instead of the live view.")
def demo(seconds: float, workload: str, workers: int, directory: Path, plain: bool) -> None:
    """Show the whole of it on this computer, in about a minute: a database, a coordinator, three workers, pictures."""
    from rich.console import Console

    from coordinator.demo_settings import showing_of

    showing = showing_of(workload)
    from coordinator.demo import Demo, StoppedError

    stop = threading.Event()
    _end_on_interrupt(stop)
    try:
        Demo(
            workload=workload, showing=showing, seconds=seconds, num_workers=workers, directory=directory, plain=plain,
            console=Console(soft_wrap=True), stop=stop,
        ).run()  # fmt: skip
    except StoppedError:
        raise click.Abort from None


def _end_on_interrupt(stop: threading.Event) -> None:
    """The first Ctrl-C ends the training and shows what there is; the second only tidies up."""

    def interrupted(_signal: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        click.echo("ending, with pictures of what there is; Ctrl-C once more ends without", err=True)
        stop.set()

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), interrupted)
