"""The volunteer's commands. What is heavy (torch, the database driver, pydantic) is imported inside a command."""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from pathlib import Path

import click

from contract.errors import BarnraiseError


def run() -> None:
    """One clear message and an exit code for what goes wrong; the whole story with -v."""
    verbose = any(argument in ("-v", "--verbose") for argument in sys.argv[1:])
    try:
        worker(prog_name="worker", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)
    except BarnraiseError as error:
        if verbose:
            traceback.print_exc()
        click.echo(f"worker: {error}", err=True)
        sys.exit(error.exit_code)
    except Exception as error:
        if verbose:
            traceback.print_exc()
        click.echo(f"worker: unexpected {type(error).__name__}: {error} (-v shows where)", err=True)
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Show the whole story when something goes wrong.")
@click.version_option(package_name="barnraise")
def worker(verbose: bool) -> None:
    """Raise a model together: the volunteer's side."""


@worker.command()
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="The file you were sent.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Overrides a key of the file.")
@click.argument("token", required=False)
def doctor(config_file: Path | None, overrides: tuple[str, ...], token: str | None) -> None:
    """Look whether this computer can take part: database, login, schema, rights, clock."""
    from worker.doctor import examine
    from worker.invitation import load_invitation

    findings = examine(load_invitation(config_file, token, overrides=overrides))
    for finding in findings:
        click.echo(("ok    " if finding.good else "NOT OK ") + finding.text)
    if not all(finding.good for finding in findings):
        sys.exit(3)


@worker.command()
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="The file you were sent.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Overrides a key of the file.")
@click.argument("token", required=False)
def join(config_file: Path | None, overrides: tuple[str, ...], token: str | None) -> None:
    """Join the run you were invited to, and compute until it is over or you press Ctrl-C."""
    from rich.console import Console

    from worker.invitation import load_invitation
    from worker.reporting import Lines
    from worker.session import Session

    config = load_invitation(config_file, token, overrides=overrides)
    stop = threading.Event()
    _stop_on_interrupt(stop)
    Session(config=config, device="cpu", reporter=Lines(console=Console()), stop=stop).run()


def _stop_on_interrupt(stop: threading.Event) -> None:
    """The first Ctrl-C gives the unit back and says goodbye; the second does not wait."""

    def interrupted(_signal: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        click.echo("leaving; Ctrl-C once more leaves at once", err=True)
        stop.set()

    signal.signal(signal.SIGINT, interrupted)
    signal.signal(signal.SIGTERM, interrupted)
