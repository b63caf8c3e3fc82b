"""A momentum and a codec that diverge together are refused before there is a run of them; whatever learns is not."""

from __future__ import annotations

import pytest

from contract.compressors import CODECS
from contract.config import parse_config
from contract.errors import ConfigError
from coordinator.new_run import require_sound

GLYPHS = "{model: {name: mlp, image_size: 12}, training: {mode: local, outer_momentum: 0.9}}"
DENSE = [codec.name for codec in CODECS if not codec.is_sparse]


def judge(*overrides: str) -> None:
    require_sound(parse_config(GLYPHS, source="test", overrides=overrides, environ={}))


@pytest.mark.parametrize(
    "overrides",
    [
        ["compression.codec=topk"],
        ["compression.codec=sparse"],
        ["compression.codec=sparse", "compression.options={bits: 8}"],
        ["compression.codec=topk", "compression.options={ratio: 0.03}"],
        ["compression.codec=topk", "training.outer_learning_rate=0.4"],
        ["compression.codec=topk", "training.outer_learning_rate=0.2", "training.outer_momentum=0.95"],
        ["compression.codec=topk", "compression.feedback_decay=0.9"],
    ],
)
def test_what_diverges_is_refused(overrides: list[str]) -> None:
    with pytest.raises(ConfigError, match="together they diverge"):
        judge(*overrides)


def test_the_refusal_says_what_to_take_instead() -> None:
    with pytest.raises(ConfigError) as refused:
        judge("compression.codec=topk")
    assert refused.value.problems == (
        "training.outer_momentum: 0.9 looks back over 10 rounds, and in local what compression.codec topk leaves out "
        "comes as late: together they diverge; set training.outer_momentum to 0.8 or less (0.5 is the default), or "
        "take a dense codec such as int8",
    )
    for instead in ("training.outer_momentum=0.8", "compression.codec=int8"):
        judge("compression.codec=topk", instead)


@pytest.mark.parametrize("codec", DENSE)
def test_a_dense_codec_takes_any_momentum(codec: str) -> None:
    judge(f"compression.codec={codec}")


@pytest.mark.parametrize(
    "overrides",
    [
        ["training.outer_momentum=0.85"],
        ["training.outer_learning_rate=0.3"],
        ["compression.feedback_decay=0.5"],
        ["compression.options={ratio: 0.1}"],
        ["training.mode=sync"],
    ],
)
def test_what_learns_with_a_sparse_codec_is_not_refused(overrides: list[str]) -> None:
    judge("compression.codec=topk", *overrides)
