"""What each workload is shown with: small enough that a minute on two processors is worth looking at."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from contract.errors import ConfigError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """`metric` is the one measured on held-out data that is drawn as a curve; `means` says it in words."""

    model: Mapping[str, Any]
    data: Mapping[str, Any]
    training: Mapping[str, Any]
    metric: str
    means: str
    is_logarithmic: bool = False
    sentence: str


_DIGITS: Final = {"name": "glyphs"}
_PROSE: Final = {"name": "stdlib"}

SHOWINGS: Final[Mapping[str, Showing]] = {
    "dcgan": Showing(
        model={"image_size": 32, "latent_dim": 32, "generator_features": 16, "discriminator_features": 16},
        data=_DIGITS,
        training={"batch_size": 64, "batches_per_work_unit": 1, "learning_rate_g": 0.002, "learning_rate_d": 0.001},
        metric="frechet_distance",
        means="distance from real images (Fréchet; lower is better)",
        is_logarithmic=True,
        sentence="one network learns to draw digits, another to tell them from real ones",
    ),
    "mlp": Showing(
        model={},
        data=_DIGITS,
        training={"batch_size": 64},
        metric="accuracy",
        means="share of digits read right",
        sentence="a small network learns to read digits",
    ),
    "cnn": Showing(
        model={},
        data=_DIGITS,
        training={"batch_size": 32},
        metric="accuracy",
        means="share of digits read right",
        sentence="a convolutional network learns to read digits",
    ),
    "tiny_lstm": Showing(
        model={"options": {"context": 32}},
        data=_PROSE,
        training={"batch_size": 16},
        metric="perplexity",
        means="letters it wavers between (perplexity; lower is better)",
        is_logarithmic=True,
        sentence="a recurrent network learns to write Python, letter by letter",
    ),
    "small_transformer": Showing(
        model={"options": {"context": 32, "features": 64, "num_layers": 2, "hidden_features": 256}},
        data=_PROSE,
        training={"batch_size": 16},
        metric="perplexity",
        means="letters it wavers between (perplexity; lower is better)",
        is_logarithmic=True,
        sentence="a small transformer learns to write Python, letter by letter",
    ),
}


def showing_of(workload: str) -> Showing:
    if workload not in SHOWINGS:
        raise ConfigError([f"--workload: there is no demo of {workload!r}; there are {', '.join(SHOWINGS)}"])
    return SHOWINGS[workload]
