"""What became of a version's gradients, from the ledger: replay, whatif. Nothing is written."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coordinator.commands.options import config_option, ledger, load, overrides_option

if TYPE_CHECKING:
    from contract.config import Config
    from coordinator.audit import Ask

_run = click.option("--run", "name", help="Name of the run. [default: the configuration's]")
_version = click.option("--version", "version", type=click.IntRange(1), help="Which version. [default: the newest]")
_json = click.option("--json", "as_json", is_flag=True, help="For programs: an object.")


@click.command()
@config_option
@overrides_option
@_run
@_version
@_json
def replay(
    config_file: Path | None, overrides: tuple[str, ...], name: str | None, version: int | None, as_json: bool
) -> None:
    """Compute a version once more from the gradients that made it, and compare the checksums.

    What it takes is kept for the newest versions only: coordinator.keep_gradient_blobs says for how many. Ends with
    exit code 1 where the two differ.
    """
    from rich.console import Console

    from coordinator import audit, audit_report

    config = load(config_file, overrides)
    found = audit.replay(ledger(config, config_file).engine, _ask(config, name, version))
    if as_json:
        click.echo(audit_report.replayed_as_json(found))
    else:
        audit_report.show_replayed(found, Console())
    if not found.agrees:
        sys.exit(1)


@click.command()
@config_option
@overrides_option
@_run
@_version
@click.option("--rule", required=True, help="The other rule; robust stands for the one it would be in this run.")
@click.option("--before", multiple=True, metavar="NAME", help="A pre-aggregator before the rule; may be repeated.")
@click.option(
    "--option", "options", multiple=True, metavar="NAME=VALUE", help="An option of the rule, its value as JSON."
)
@click.option("--num-byzantine", type=click.IntRange(0), help="How many may be hostile. [default: the run's]")
@_json
def whatif(
    config_file: Path | None,
    overrides: tuple[str, ...],
    name: str | None,
    version: int | None,
    rule: str,
    before: tuple[str, ...],
    options: tuple[str, ...],
    num_byzantine: int | None,
    as_json: bool,
) -> None:
    """Show what another rule would have made of the gradients of a version: whose share would have been another, who
    would have been left out, and how far the two aggregates are from each other."""
    from rich.console import Console

    from coordinator import audit, audit_report

    given = dict(_option(option) for option in options)
    config = load(config_file, overrides)
    found = audit.what_if(
        ledger(config, config_file).engine,
        _ask(config, name, version),
        audit.Other(rule=rule, before=before, options=given, num_byzantine=num_byzantine),
    )
    if as_json:
        click.echo(audit_report.what_if_as_json(found))
    else:
        audit_report.show_what_if(found, Console())


def _ask(config: Config, name: str | None, version: int | None) -> Ask:
    from contract.ids import Version
    from coordinator.audit import Ask

    return Ask(
        run=name or config.run.name,
        version=None if version is None else Version(version),
        kept=config.coordinator.keep_gradient_blobs,
    )


def _option(written: str) -> tuple[str, object]:
    name, equals, value = written.partition("=")
    if not equals:
        raise click.BadParameter(f"{written} is not NAME=VALUE", param_hint="--option")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value
