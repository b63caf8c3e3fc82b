"""Who takes part and who may look: invite, revoke, roster, observe."""

from __future__ import annotations

from pathlib import Path

import click

from coordinator.commands.options import config_option, ledger, load, overrides_option


@click.command()
@config_option
@overrides_option
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
    config = load(config_file, overrides)
    place = ledger(config, config_file)
    for invitation in invite_people(place, config, persons, directory=directory, renew=renew):
        click.echo(f"\n{invitation.name}: send them {invitation.file}, or this one line (it holds their password):")
        click.echo(f"  worker join {invitation.token}")


@click.command()
@config_option
@overrides_option
@click.argument("names", nargs=-1, required=True)
def revoke(config_file: Path | None, overrides: tuple[str, ...], names: tuple[str, ...]) -> None:
    """End the sessions, leases and rights of each NAME at once."""
    from coordinator.revocation import revoke as revoke_person

    place = ledger(load(config_file, overrides), config_file)
    for name in names:
        revoke_person(place, name=name)
        click.echo(f"{name} is revoked: no session, no lease, no login")


@click.command()
@config_option
@overrides_option
def roster(config_file: Path | None, overrides: tuple[str, ...]) -> None:
    """List who is invited, who is here, who was revoked."""
    from coordinator.ledger import people
    from coordinator.roster import show

    with ledger(load(config_file, overrides), config_file).engine.connect() as conn:
        show(people.roster(conn))


@click.command()
@config_option
@overrides_option
@click.argument("names", nargs=-1, required=True)
@click.option("--directory", type=click.Path(path_type=Path), default=Path("observers"), show_default=True)
@click.option("--renew", is_flag=True, help="Give somebody who may look already a new password.")
@click.option("--revoke", is_flag=True, help="End the sessions and the login of each NAME.")
def observe(
    config_file: Path | None,
    overrides: tuple[str, ...],
    names: tuple[str, ...],
    directory: Path,
    renew: bool,
    revoke: bool,
) -> None:
    """Let each NAME look at the ledger's views, and nothing else: a file, and an address for psql."""
    from coordinator.observing import let_look, stop_looking

    if renew and revoke:
        raise click.UsageError("--renew and --revoke contradict each other")
    config = load(config_file, overrides)
    place = ledger(config, config_file)
    if revoke:
        for name in names:
            stop_looking(place, name=name)
            click.echo(f"{name} may no longer look: no session, no login")
        return
    for one in let_look(place, config, names, directory=directory, renew=renew):
        click.echo(f"\n{one.name}: send them {one.file}, for: coordinator dashboard --config {one.file.name}")
        click.echo(f"  or this address (both hold their password): psql '{one.address}'")
