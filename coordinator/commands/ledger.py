"""The record of who did what: ledger verify."""

from __future__ import annotations

import re
from pathlib import Path

import click

from coordinator.commands import options

_FEWEST_DIGITS, _ALL_DIGITS = 16, 64


@click.group()
def ledger() -> None:
    """The record of contributions, which people are graded from."""


@ledger.command()
@options.config_option
@options.overrides_option
@click.option("--name", "--run", "name", help="Name of the run. [default: the configuration's]")
@click.option(
    "--expect",
    "expected",
    multiple=True,
    metavar="HASH",
    help="A head that was written down: does the chain still have it? Its first 16 digits will do; may be repeated.",
)
@click.option("--people", is_flag=True, help="Add up what each person contributed, by the chain.")
@click.option("--json", "as_json", is_flag=True, help="For programs: an object.")
def verify(
    config_file: Path | None,
    overrides: tuple[str, ...],
    name: str | None,
    expected: tuple[str, ...],
    people: bool,
    as_json: bool,
) -> None:
    """Check the chain of contributions: is it what it was?

    Goes through it link by link, compares it with the merges, and shows the head, for writing down. Where something was
    changed, added or taken away, names the first broken link and ends with exit code 12. A volunteer or an observer,
    who may not read the merges, checks the links.
    """
    from contract.errors import ChainBroken
    from coordinator import verifying, verifying_report

    digits = [_digits(written) for written in expected]
    config = options.load(config_file, overrides)
    engine = options.ledger(config, config_file).engine
    found = verifying.verify(engine, run=name or config.run.name, expected=digits)
    if as_json:
        click.echo(verifying_report.as_json(found))
    else:
        for line in verifying_report.lines(found, people=people):
            click.echo(line)
    if (problem := verifying_report.problem(found)) is not None:
        raise ChainBroken(problem)


def _digits(written: str) -> str:
    """People write them in groups, and in capitals."""
    digits = "".join(written.split()).lower()
    if not re.fullmatch(rf"[0-9a-f]{{{_FEWEST_DIGITS},{_ALL_DIGITS}}}", digits):
        raise click.BadParameter(
            f"{written!r} is not {_FEWEST_DIGITS} to {_ALL_DIGITS} of the digits 0-9 and a-f", param_hint="--expect"
        )
    return digits
