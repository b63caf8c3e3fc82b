"""The runs of a ledger: pause, resume, stop, runs, fork."""

from __future__ import annotations

from pathlib import Path

import click

from coordinator.commands.options import as_typed, config_option, ledger, load, overrides_option

_name = click.option("--name", help="Name of the run. [default: the configuration's]")
_STOP_PATIENCE_SECONDS = 60.0


@click.command()
@config_option
@overrides_option
@_name
def pause(config_file: Path | None, overrides: tuple[str, ...], name: str | None) -> None:
    """Let a run rest: no unit is handed out and nothing is merged, until resume. The coordinator stays."""
    from coordinator import steering

    config = load(config_file, overrides)
    click.echo(steering.pause(ledger(config, config_file).engine, name or config.run.name))


@click.command()
@config_option
@overrides_option
@_name
def resume(config_file: Path | None, overrides: tuple[str, ...], name: str | None) -> None:
    """Let a paused run go on."""
    from coordinator import steering

    config = load(config_file, overrides)
    click.echo(steering.resume(ledger(config, config_file).engine, name or config.run.name))


@click.command()
@config_option
@overrides_option
@_name
def stop(config_file: Path | None, overrides: tuple[str, ...], name: str | None) -> None:
    """End the coordinators of a run, wherever they are, as one Ctrl-C in their terminals would.

    The turn under way is finished first. Workers wait; `coordinator start` goes on from there.
    """
    from coordinator import steering

    config = load(config_file, overrides)
    engine = ledger(config, config_file).engine
    click.echo(steering.stop(engine, name or config.run.name, patience_seconds=_STOP_PATIENCE_SECONDS))


@click.command()
@config_option
@overrides_option
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of objects, one per run.")
def runs(config_file: Path | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """List the runs of the ledger: state, model, version, workers, progress."""
    from rich.console import Console

    from coordinator import run_list
    from coordinator.ledger.overview import overview

    with ledger(load(config_file, overrides), config_file).engine.connect() as conn:
        lines = overview(conn)
    if as_json:
        click.echo(run_list.as_json(lines))
    else:
        run_list.show(lines, Console())


@click.command()
@config_option
@overrides_option
@click.option(
    "--from",
    "origin",
    required=True,
    metavar="RUN[@VERSION]",
    help="Whose weights; the newest ones unless a version is named.",
)
@click.option("--name", required=True, help="Name of the new run.")
@click.option(
    "--fresh-optimizer", is_flag=True, help="Forget what the optimizer remembers, even where it is still there."
)
def fork(config_file: Path | None, overrides: tuple[str, ...], origin: str, name: str, fresh_optimizer: bool) -> None:
    """Make a run that begins with the weights of another's version.

    The model is the other run's; data and training options are the configuration's.
    """
    from coordinator import forking
    from coordinator.new_run import new_run

    overrides = (*overrides, f"run.name={name}")
    try:
        parent = forking.Origin.parse(origin)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--from") from None
    config = load(config_file, overrides)
    place = ledger(config, config_file)
    forked = forking.fork(
        place.engine, new_run(config, config_file=config_file), parent, fresh_optimizer=fresh_optimizer
    )
    optimizer = "goes on with what it remembers" if forked.keeps_optimizer else "begins anew"
    click.echo(f"run {name} begins with version {forked.version} of {parent.run}; its optimizer {optimizer}")
    click.echo(f"next: coordinator start{as_typed(config_file, overrides)}")
    click.echo(f"volunteers of another run join it with: worker join --config THEIR-FILE.yaml --set run.name={name}")
