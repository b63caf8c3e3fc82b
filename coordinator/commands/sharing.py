"""Showing the model: generate, plots, push."""

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


@click.command()
@config_option
@overrides_option
@click.option("--version", type=click.IntRange(0), help="Version to ask. [default: the newest]")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed gives the same again."
)
@click.option("--count", type=click.IntRange(1, 10_000), help="Images to draw. [default: 64]")
@click.option(
    "--out",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="PNG file for the images. [default: samples.png]",
)
@click.option("--prompt", help="Text to continue, of a model that writes.")
@click.option("--length", type=click.IntRange(1, 100_000), help="Bytes of text to write. [default: 500]")
@click.option(
    "--temperature", type=click.FloatRange(0), help="How daring; 0 always takes the likeliest. [default: 0.8]"
)
@click.option("--greedy", is_flag=True, help="The same as --temperature 0.")
@click.option("--top-k", type=click.IntRange(1), help="Choose among so many of the likeliest.")
@click.option(
    "--top-p",
    type=click.FloatRange(0, 1, min_open=True),
    help="Choose among the likeliest that come to this probability.",
)
def generate(
    config_file: Path | None,
    overrides: tuple[str, ...],
    version: int | None,
    seed: int,
    count: int | None,
    file: Path | None,
    prompt: str | None,
    length: int | None,
    temperature: float | None,
    greedy: bool,
    top_k: int | None,
    top_p: float | None,
) -> None:
    """Let the model draw images into a file, or write text into the terminal."""
    from contract.ids import Version
    from coordinator.generating import Wish, fulfil
    from coordinator.writing import Taste

    if greedy and temperature:
        raise click.UsageError("--greedy is temperature 0; leave out one of the two")
    chosen = 0.0 if greedy else temperature
    config = load(config_file, overrides)
    wish = Wish(
        run=config.run.name,
        version=None if version is None else Version(version),
        seed=seed,
        count=count,
        file=file,
        prompt=prompt,
        length=length,
        taste=Taste(top_k=top_k, top_p=top_p)
        if chosen is None
        else Taste(temperature=chosen, top_k=top_k, top_p=top_p),
        is_picky=greedy or temperature is not None or top_k is not None or top_p is not None,
    )
    for piece in fulfil(ledger(config, config_file).engine, wish):
        click.echo(piece, nl=False)


@click.command()
@config_option
@overrides_option
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("plots"),
    show_default=True,
    help="Folder for the pictures.",
)
def plots(config_file: Path | None, overrides: tuple[str, ...], folder: Path) -> None:
    """Draw what the ledger knows of the run: losses, speed, staleness, and what the model made over time."""
    from coordinator.plotting import draw

    config = load(config_file, overrides)
    for made, shows in draw(ledger(config, config_file).engine, run=config.run.name, folder=folder):
        click.echo(f"{made}  {shows}")
