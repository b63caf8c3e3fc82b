"""Looking at a run from any machine, with any login of the ledger: status, top, leaderboard, events, export."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import click

from coordinator.commands.options import config_option, ledger, load, overrides_option

_name = click.option("--name", help="Name of the run. [default: the configuration's]")


@click.command()
@config_option
@overrides_option
@_name
@click.option("--json", "as_json", is_flag=True, help="For programs: an object.")
def status(config_file: Path | None, overrides: tuple[str, ...], name: str | None, as_json: bool) -> None:
    """Say where a run stands: how far, who leads, who is here, losses, what is wrong and what to do about it."""
    from rich.console import Console

    from coordinator import run_status

    config = load(config_file, overrides)
    pushes = config.huggingface
    with ledger(config, config_file).engine.begin() as conn:
        found = run_status.read_status(
            conn, run=name or config.run.name, push_interval=pushes.push_interval if pushes.enabled else None
        )
    if as_json:
        click.echo(run_status.as_json(found))
    else:
        run_status.show(found, Console())


@click.command()
@config_option
@overrides_option
@_name
@click.option("--limit", type=click.IntRange(1), help="So many of the first. [default: all]")
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of objects, one per person.")
def leaderboard(
    config_file: Path | None, overrides: tuple[str, ...], name: str | None, limit: int | None, as_json: bool
) -> None:
    """List who moved the model, and by how much: by samples in merged gradients."""
    from rich.console import Console

    from coordinator import leaderboard as board
    from coordinator.ledger import records, views

    config = load(config_file, overrides)
    run = name or config.run.name
    with ledger(config, config_file).engine.begin() as conn:
        records.require_run(conn, run=run)
        places = views.leaderboard(conn, run=run, most=limit)
    if as_json:
        click.echo(board.as_json(places))
    else:
        board.show(places, Console())


@click.command()
@config_option
@overrides_option
@_name
def top(config_file: Path | None, overrides: tuple[str, ...], name: str | None) -> None:
    """Watch a run live, from any machine: progress, losses, workers, what happens. q ends it, and the run goes on."""
    from rich.console import Console

    from coordinator.glass import can_show
    from coordinator.ledger.records import require_run
    from coordinator.top import Top

    console = Console(soft_wrap=True)
    if not can_show(console):
        raise click.UsageError(
            "this is no terminal that can show a live view; `coordinator status` says where the run stands, "
            "`coordinator events -f` follows what happens"
        )
    config = load(config_file, overrides)
    engine = ledger(config, config_file).engine
    run = name or config.run.name
    with engine.begin() as conn:
        require_run(conn, run=run)
    # Whoever ends it from elsewhere gets the terminal back too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        Top(console, engine, run=run).show()


@click.command()
@config_option
@overrides_option
@_name
@click.option("-f", "--follow", "follows", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@click.option("--all", "everything", is_flag=True, help="Also what is no news: each unit and gradient on its way.")
@click.option("--limit", type=click.IntRange(0, 100_000), default=20, show_default=True, help="So many of the newest.")
@click.option("--json", "as_json", is_flag=True, help="For programs: an object on each line.")
def events(
    config_file: Path | None,
    overrides: tuple[str, ...],
    name: str | None,
    follows: bool,
    everything: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Show what happened: who came and went, what failed, what was refused, and why."""
    from contract.database import Notifications
    from coordinator import event_lines, following
    from coordinator.ledger.records import require_run

    config = load(config_file, overrides)
    engine = ledger(config, config_file).engine
    log = following.Log(run=name or config.run.name, everything=everything)
    lines = event_lines.Printer(console=event_lines.Paper(), as_json=as_json)
    with engine.begin() as conn:
        require_run(conn, run=log.run)
        newest = log.open(conn, limit=limit)
    with _ending_quietly():
        lines.print(newest)
        if not follows:
            return
        notifications = Notifications(engine, pooler=config.database.pooler)
        try:
            for fresh in following.follow(engine, log, notifications, report=_say_trouble, stop=threading.Event()):
                lines.print(fresh)
        finally:
            notifications.close()


@click.command()
@config_option
@overrides_option
@_name
@click.option(
    "--csv", "folder", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the tables."
)
def export(config_file: Path | None, overrides: tuple[str, ...], name: str | None, folder: Path) -> None:
    """Write the record of a run, to grade from: contributions.csv, units.csv, losses.csv.

    Nothing that is there is replaced. The tables are of one moment; days are of this computer's calendar, times in UTC.
    """
    from coordinator import exporting

    config = load(config_file, overrides)
    for made in exporting.export(ledger(config, config_file).engine, run=name or config.run.name, folder=folder):
        click.echo(f"{made.file}  {made.num_rows:,} {'row' if made.num_rows == 1 else 'rows'}")


def _say_trouble(report: object) -> None:
    from coordinator.following import trouble_in_words

    if words := trouble_in_words(report):
        click.echo(words, err=True)


@contextlib.contextmanager
def _ending_quietly() -> Iterator[None]:
    """Ctrl-C is how one ends what goes on for ever, and whoever reads our lines may have read enough."""
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # What is left in the buffer has nowhere to go when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
