"""Showing the model to the world: push."""

from __future__ import annotations

from pathlib import Path

import click

from coordinator.commands.options import config_option, ledger, load, overrides_option


@click.command()
@config_option
@overrides_option
@click.option("--version", type=click.IntRange(0), help="Version to push. [default: the newest]")
def push(config_file: Path | None, overrides: tuple[str, ...], version: int | None) -> None:
    """Push a version to the Hugging Face Hub now: weights, record, pictures and a model card.

    It needs huggingface.repo_id and a token with the right to write; huggingface.enabled is for pushes while training.
    """
    from contract.ids import Version
    from coordinator.housekeeping import repository_of
    from coordinator.hub.package import packed, read
    from coordinator.ledger.sharing import record_push

    config = load(config_file, (*overrides, "huggingface.enabled=true"))
    repository = repository_of(config)
    engine = ledger(config, config_file).engine
    with engine.connect() as conn:
        contents = read(conn, run=config.run.name, version=None if version is None else Version(version))
    repository.open_for_writing()
    files = packed(contents, config)
    size = sum(map(len, files.values())) / 1e6
    click.echo(f"pushing version {contents.version} of {config.run.name} to {repository.repo_id} ({size:.1f} MB)")
    made = repository.commit(files, message=f"Version {contents.version} of {config.run.name}")
    with engine.begin() as conn:
        record_push(
            conn, run=contents.record.run, version=contents.version, repository=repository.repo_id, commit=made.oid,
            url=made.url,
        )  # fmt: skip
    click.echo(made.url)
