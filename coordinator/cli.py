"""The instructor's commands. What is heavy (torch, the database driver, pydantic) is imported inside a command."""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import click

from contract.errors import BarnraiseError

if TYPE_CHECKING:
    from contract.config import Config
    from coordinator.embedded import EmbeddedSettings
    from coordinator.place import Place

_config = click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="Configuration file. [default: config.yaml]"
)
_overrides = click.option(
    "--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Overrides a key of the configuration."
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
        if verbose:
            traceback.print_exc()
        click.echo(f"coordinator: {error}", err=True)
        sys.exit(error.exit_code)
    except Exception as error:
        if verbose:
            traceback.print_exc()
        click.echo(f"coordinator: unexpected {type(error).__name__}: {error} (-v shows where)", err=True)
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Show the whole story when something goes wrong.")
@click.version_option(package_name="barnraise")
def coordinator(verbose: bool) -> None:
    """Raise a model together: the instructor's side."""


@coordinator.command()
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), default=Path("config.yaml"), show_default=True
)
@click.option("--class-size", type=click.IntRange(1, 10_000), help="How many computers will take part.")
@click.option("--host", help="Address that volunteers connect to: 127.0.0.1, a LAN address, 0.0.0.0 for all of them.")
@click.option("--database-url", help="Use this PostgreSQL instead of a private one: postgresql://user@host/database")
@click.option("--force", is_flag=True, help="Replace a configuration that exists.")
@click.option("--yes", is_flag=True, help="Ask nothing; take the options and the defaults.")
def init(
    config_file: Path, class_size: int | None, host: str | None, database_url: str | None, force: bool, yes: bool
) -> None:
    """Write a configuration, after a question or two."""
    from coordinator.setting_up import Answers, write_config

    if class_size is None:
        class_size = 5 if yes else click.prompt("How many computers will take part?", default=5, type=int)
    if host is None and database_url is None:
        on_lan = class_size > 1 and not yes and click.confirm("Do the others join over a network?", default=True)
        host = "0.0.0.0" if on_lan else "127.0.0.1"  # noqa: S104  what the instructor asked for
    answers = Answers(class_size=class_size, host=host, database_url=database_url)
    click.echo(write_config(config_file, answers, force=force))


@coordinator.command()
@_config
@_overrides
@click.option("--connect", is_flag=True, help="Also look at the database: version, schema, rights.")
def check(config_file: Path | None, overrides: tuple[str, ...], connect: bool) -> None:
    """Say whether the configuration is sound, or list all that is wrong with it."""
    config = _load(config_file, overrides)
    click.echo("config OK")
    if connect:
        from coordinator.place import open_place
        from coordinator.rights import findings

        lines = findings(open_place(config, config_file))
        for line in lines:
            click.echo(line.text)
        if not all(line.good for line in lines):
            sys.exit(3)


@coordinator.command()
@_config
@_overrides
def migrate(config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Bring the database to this release's schema. Safe to repeat."""
    from coordinator.migrating import migrate_place
    from coordinator.place import open_place

    done = migrate_place(open_place(_load(config_file, overrides), config_file))
    before = "new" if done.before is None else f"was at {done.before}"
    click.echo(f"the ledger is at revision {done.after} ({'no change' if done.before == done.after else before})")


@coordinator.command()
@_config
@_overrides
def start(config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Lead the run of the configuration, from its beginning or from where it stands."""
    from rich.console import Console

    from coordinator.place import open_place
    from coordinator.starting import Start

    config = _load(config_file, overrides)
    stop = threading.Event()
    _stop_on_interrupt(stop)
    place = open_place(config, config_file)
    Start(config=config, config_file=config_file, place=place, console=Console(), stop=stop).run()


@coordinator.command()
@_config
@_overrides
@click.argument("names", nargs=-1)
@click.option("--roster", type=click.Path(path_type=Path), help="A CSV file with a column name, perhaps display_name.")
@click.option("--directory", type=click.Path(path_type=Path), default=Path("invitations"), show_default=True)
@click.option("--renew", is_flag=True, help="Give somebody who is invited already a new password.")
def invite(
    config_file: Path | None,
    overrides: tuple[str, ...],
    names: tuple[str, ...],
    roster: Path | None,
    directory: Path,
    renew: bool,
) -> None:
    """Invite people by NAME or by roster: a file and a one-line token each."""
    from coordinator.invitations import invite as invite_people
    from coordinator.invitations import persons_from

    persons = persons_from(names, roster)
    config = _load(config_file, overrides)
    place = _ledger(config, config_file)
    for invitation in invite_people(place, config, persons, directory=directory, renew=renew):
        click.echo(f"\n{invitation.name}: send them {invitation.file}, or this one line (it holds their password):")
        click.echo(f"  worker join {invitation.token}")


@coordinator.command()
@_config
@_overrides
@click.argument("names", nargs=-1, required=True)
def revoke(config_file: Path | None, overrides: tuple[str, ...], names: tuple[str, ...]) -> None:
    """End the sessions, leases and rights of each NAME at once."""
    from coordinator.revocation import revoke as revoke_person

    place = _ledger(_load(config_file, overrides), config_file)
    for name in names:
        revoke_person(place, name=name)
        click.echo(f"{name} is revoked: no session, no lease, no login")


@coordinator.command()
@_config
@_overrides
def roster(config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """List who is invited, who is here, who was revoked."""
    from coordinator.ledger import people
    from coordinator.roster import show

    with _ledger(_load(config_file, overrides), config_file).engine.connect() as conn:
        show(people.roster(conn))


@coordinator.group()
def database() -> None:
    """The private PostgreSQL of database.embedded."""


@database.command("start")
@_config
@_overrides
def database_start(config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Start it, unless it runs."""
    from coordinator.embedded import ensure_running

    server = ensure_running(_embedded(config_file, overrides))
    click.echo(f"PostgreSQL {server.version} answers at {server.public_host} port {server.public_port}")


@database.command("stop")
@_config
@_overrides
def database_stop(config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Stop it; the data stays."""
    from coordinator.embedded import stop

    stop(_embedded(config_file, overrides))
    click.echo("stopped; the data stays where it is")


@database.command("status")
@_config
@_overrides
def database_status(config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Say whether it runs, where its data is and how large."""
    from coordinator.embedded import status

    now = status(_embedded(config_file, overrides))
    state = f"runs (process {now.pid}, port {now.port})" if now.running else "does not run"
    front = f", with TLS (process {now.front_pid})" if now.front_pid else ""
    click.echo(f"PostgreSQL {now.version or ''} {state}{front}")
    click.echo(f"data: {now.data_directory} ({now.num_bytes / 1e6:.0f} MB), logs: {now.log_directory}")


def _stop_on_interrupt(stop: threading.Event) -> None:
    """The first Ctrl-C lets the turn under way end; the second does not wait."""

    def interrupted(_signal: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        click.echo("stopping after this turn; Ctrl-C once more stops at once", err=True)
        stop.set()

    signal.signal(signal.SIGINT, interrupted)
    signal.signal(signal.SIGTERM, interrupted)


def _load(config_file: Path | None, overrides: tuple[str, ...]) -> Config:
    from contract.config import load_config

    return load_config(config_file, overrides=overrides)


def _embedded(config_file: Path | None, overrides: tuple[str, ...]) -> EmbeddedSettings:
    from coordinator.place import embedded_settings

    return embedded_settings(_load(config_file, overrides), config_file)


def _ledger(config: Config, config_file: Path | None) -> Place:
    """The place, and a refusal when ledger and code do not belong together."""
    from contract.database import check_schema
    from coordinator.place import open_place

    place = open_place(config, config_file)
    with place.engine.connect() as conn:
        check_schema(conn)
    return place
