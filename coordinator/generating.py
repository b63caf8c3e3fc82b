"""`coordinator generate`: images into a file, or text into the terminal while it is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

from sqlalchemy import Engine

from contract.errors import ConfigError
from contract.ids import Version
from contract.tensors import unpack
from contract.workloads import WORKLOADS
from contract.workloads.base import OpenModel, PredictiveModel
from coordinator.ledger import runs
from coordinator.mathematics import Mathematics
from coordinator.pictures import grid_of
from coordinator.samples import draws, images_of, writes
from coordinator.weights import require_weights
from coordinator.writing import Taste, written

_COUNT: Final = 64
_LENGTH: Final = 500
_FILE: Final = Path("samples.png")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """None is whatever suits. `is_picky` is set where somebody cares how text is chosen."""

    run: str
    version: Version | None
    seed: int
    count: int | None
    file: Path | None
    prompt: str | None
    length: int | None
    taste: Taste
    is_picky: bool


def fulfil(engine: Engine, wish: Wish) -> Iterator[str]:
    """What is to be shown in the terminal, piece by piece."""
    version, model = _model(engine, wish)
    if draws(model):
        if wish.prompt is not None or wish.length is not None or wish.is_picky:
            raise ConfigError([f"run {wish.run} draws images; leave out what is about text (--prompt and its like)"])
        file = wish.file or _FILE
        count = wish.count or _COUNT
        file.absolute().parent.mkdir(parents=True, exist_ok=True)
        grid_of(images_of(model, count=count, seed=wish.seed)).save(file, "PNG", optimize=True)
        yield f"{file}  {count} images by version {version} of {wish.run}\n"
    elif writes(model):
        if wish.count is not None or wish.file is not None:
            raise ConfigError([f"run {wish.run} writes text; leave out --count and --out, and give it a --prompt"])
        prompt = wish.prompt or ""
        yield prompt
        yield from written(
            cast(PredictiveModel, model), prompt, num_tokens=wish.length or _LENGTH, taste=wish.taste, seed=wish.seed
        )
        yield "\n"
    else:
        raise ConfigError([f"run {wish.run} learns to judge, not to make anything; there is nothing to generate"])


def _model(engine: Engine, wish: Wish) -> tuple[Version, OpenModel]:
    # One snapshot: a leader may prune the version while it is read.
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as conn, conn.begin():
        record = runs.read_run(conn, name=wish.run)
        version = record.head_version if wish.version is None else wish.version
        workload = WORKLOADS.build(record.workload, record.workload_options)
        how = Mathematics.of(workload, record.training, seed=record.seed)
        weights = require_weights(conn, record, version=version, how=how)
    model = workload.open_model()
    model.load(unpack(weights, how.vectors.manifest, max_bytes=len(weights)))
    return version, model
