"""The instructor's command, and how it ends."""

from __future__ import annotations

import sys
import traceback

import click

from contract.errors import BarnraiseError
from contract.logs import told
from coordinator.commands import (
    audits,
    dashboard,
    database,
    demo,
    ledger,
    looking,
    people,
    runs,
    setting_up,
    sharing,
    training,
)


def run() -> None:
    """One clear message and an exit code for what goes wrong; the whole story with -v."""
    verbose = any(argument in ("-v", "--verbose") for argument in sys.argv[1:])
    try:
        coordinator(prog_name="coordinator", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)
    except BarnraiseError as error:
        if not told(error, process="coordinator"):
            if verbose:
                traceback.print_exc()
            click.echo(f"coordinator: {error}", err=True)
        sys.exit(error.exit_code)
    except Exception as error:
        if not told(error, process="coordinator"):
            if verbose:
                traceback.print_exc()
            click.echo(f"coordinator: unexpected {type(error).__name__}: {error} (-v shows where)", err=True)
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Show the whole story when something goes wrong.")
@click.version_option(package_name="barnraise")
def coordinator(verbose: bool) -> None:
    """Raise a model together: the instructor's side."""


for command in (
    setting_up.init,
    setting_up.check,
    setting_up.migrate,
    training.start,
    runs.pause,
    runs.resume,
    runs.stop,
    runs.runs,
    runs.fork,
    training.train_local,
    looking.status,
    looking.top,
    looking.leaderboard,
    looking.events,
    looking.export,
    audits.replay,
    audits.whatif,
    sharing.generate,
    sharing.plots,
    sharing.push,
    people.invite,
    people.revoke,
    people.roster,
    people.observe,
    dashboard.dashboard,
    ledger.ledger,
    database.database,
    demo.demo,
):
    coordinator.add_command(command)
