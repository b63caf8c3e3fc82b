"""From nothing to a ledger: init, check, migrate."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from coordinator.commands.options import config_option, load, overrides_option


@click.command()
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


@click.command()
@config_option
@overrides_option
@click.option("--connect", is_flag=True, help="Also look at the database: version, schema, rights.")
def check(config_file: Path | None, overrides: tuple[str, ...], connect: bool) -> None:
    """Say whether the configuration is sound, or list all that is wrong with it."""
    from coordinator.new_run import require_sound

    config = load(config_file, overrides)
    require_sound(config)
    click.echo("config OK")
    if connect:
        from coordinator.place import open_place
        from coordinator.rights import findings

        lines = findings(open_place(config, config_file))
        for line in lines:
            click.echo(line.text)
        if not all(line.good for line in lines):
            sys.exit(3)


@click.command()
@config_option
@overrides_option
def migrate(config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Bring the database to this release's schema. Safe to repeat."""
    from coordinator.migrating import migrate_place
    from coordinator.place import open_place

    done = migrate_place(open_place(load(config_file, overrides), config_file))
    before = "new" if done.before is None else f"was at {done.before}"
    click.echo(f"the ledger is at revision {done.after} ({'no change' if done.before == done.after else before})")
