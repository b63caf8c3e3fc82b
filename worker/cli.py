"""The volunteer's commands. What is heavy (torch, the database driver, pydantic) is imported inside a command."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from contract.errors import BarnraiseError
from contract.logs import LogFormat, told


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
        if not told(error, process="worker"):
            if verbose:
                traceback.print_exc()
            click.echo(f"worker: {error}", err=True)
        sys.exit(error.exit_code)
    except Exception as error:
        if not told(error, process="worker"):
            if verbose:
                traceback.print_exc()
            click.echo(f"worker: unexpected {type(error).__name__}: {error} (-v shows where)", err=True)
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Show the whole story when something goes wrong.")
@click.version_option(package_name="barnraise")
def worker(verbose: bool) -> None:
    """Raise a model together: the volunteer's side."""


_TYPED = TypeVar("_TYPED", bound=Callable[..., object])


def _invitation(command: _TYPED) -> _TYPED:
    for decorate in (
        click.argument("token", required=False),
        click.option(
            "--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Overrides a key of the file."
        ),
        click.option("--config", "config_file", type=click.Path(path_type=Path), help="The file you were sent."),
    ):
        command = decorate(command)
    return command


@worker.command()
@_invitation
@click.option(
    "--every-picture", is_flag=True, help="Look at each picture of the data; takes minutes for a large folder."
)
def doctor(config_file: Path | None, overrides: tuple[str, ...], token: str | None, every_picture: bool) -> None:
    """Look whether this computer can take part, and how fast it is. Takes no place in the run, and changes nothing."""
    from worker.doctor import examine
    from worker.joining import Invitation

    good = True
    invitation = Invitation(config_file=config_file, token=token, overrides=overrides)
    for finding in examine(invitation.load(), config_file, every_picture=every_picture):
        click.echo(("ok      " if finding.good else "NOT OK  ") + finding.text)
        good = good and finding.good
    if not good:
        sys.exit(3)


@worker.command()
@_invitation
@click.option("--name", help="How the class sees this computer.")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N|mps|xpu", help="What to compute on; auto takes the fastest.")
@click.option("--processes", metavar="N|auto", help="Worker processes on this computer; auto takes one for each GPU.")
@click.option("--threads", metavar="N", help="Processor threads for computing, per process.")
@click.option("--nice", metavar="0-19", help="How far to stand back behind other programs.")
@click.option("--pause-on-battery", is_flag=True, default=None, help="Rest while the computer runs on its battery.")
@click.option("--hours", metavar="FROM-TO", help="Local hours to work in, such as 22-7 or 22:00-06:30.")
@click.option("--plain", is_flag=True, help="Lines instead of a live view.")
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="json: no live view, and all that is said goes to standard error, a JSON object a line.",
)  # fmt: skip
def join(
    config_file: Path | None,
    overrides: tuple[str, ...],
    token: str | None,
    plain: bool,
    log_format: LogFormat,
    **settings: str | bool | None,
) -> None:
    """Join the run you were invited to, and compute until it is over or you press Ctrl-C."""
    from worker.joining import Invitation, join_run

    # In quotes, because a name may look like a number; the other values are YAML as in the file.
    typed = [
        f"worker.{key}={json.dumps(value, ensure_ascii=False) if key == 'name' else str(value).lower()}"
        for key, value in settings.items()
        if value is not None
    ]
    invitation = Invitation(config_file=config_file, token=token, overrides=(*overrides, *typed))
    sys.exit(join_run(invitation, plain=plain, log_format=log_format))


@worker.command(hidden=True)
def member() -> None:
    """One of several processes of `worker join`, which tells it on standard input how to work."""
    from worker.joining import be_member

    be_member()
