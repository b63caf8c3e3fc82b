"""What a run writes down of its codec, and what that allows."""

from __future__ import annotations

import itertools

import pytest

from contract.compressors import blob_manifest
from contract.compressors.ladder import codecs_of
from contract.config import parse_config
from contract.errors import ConfigError
from contract.workloads import WORKLOADS
from coordinator.new_run import new_run

GLYPHS = "{model: {name: mlp, image_size: 12}, data: {name: glyphs, num_samples: 200}}"


def codecs_with(*overrides: str) -> list[str]:
    config = parse_config(GLYPHS, source="test", overrides=overrides, environ={})
    return [codec.name for codec in codecs_of(new_run(config, config_file=None).training)]


def test_a_run_takes_the_codec_that_it_was_made_with() -> None:
    assert codecs_with("compression.codec=fp16") == ["fp16"]


def test_the_mean_takes_whatever_a_line_can_carry() -> None:
    assert codecs_with("compression.codec=auto") == ["none", "fp16", "int8", "topk", "sparse"]


@pytest.mark.parametrize(
    "other", ["aggregation.rule=median", "aggregation.rule=geometric_median", "aggregation.rule=robust"]
)
def test_a_rule_that_compares_gradients_takes_those_that_change_little(other: str) -> None:
    assert codecs_with("compression.codec=auto", other) == ["none", "fp16", "int8"]


def test_so_does_the_mean_behind_a_pre_aggregator() -> None:
    chosen = codecs_with("compression.codec=auto", "aggregation.before=[nnm]", "aggregation.num_byzantine=0")
    assert chosen == ["none", "fp16", "int8"]


@pytest.mark.parametrize(
    ("momentum", "names"), [(0.5, ["none", "fp16", "int8", "topk", "sparse"]), (0.9, ["none", "fp16", "int8"])]
)
def test_local_steps_take_what_their_momentum_bears(momentum: float, names: list[str]) -> None:
    local = ("training.mode=local", f"training.outer_momentum={momentum}")
    assert codecs_with("compression.codec=auto", *local) == names


def test_each_rung_is_half_the_one_before_or_less() -> None:
    config = parse_config(GLYPHS, source="test", overrides=["compression.codec=auto"], environ={})
    codecs = codecs_of(new_run(config, config_file=None).training)
    workload = WORKLOADS.build("dcgan")
    sizes = [blob_manifest(codec, workload.manifest(), whole=workload.buffers()).blob_bytes for codec in codecs]
    assert all(smaller <= 0.51 * larger for larger, smaller in itertools.pairwise(sizes))


def test_a_codec_that_there_is_not_is_refused_when_the_run_is_made() -> None:
    with pytest.raises(ConfigError, match="unknown codec 'fp61'; did you mean fp16"):
        codecs_with("compression.codec=fp61")


def test_so_is_an_option_that_it_has_not() -> None:
    with pytest.raises(ConfigError, match="codec fp16: option speed"):
        codecs_with("compression.codec=fp16", "compression.options={speed: 1}")


def test_auto_takes_no_options() -> None:
    with pytest.raises(ConfigError, match=r"compression\.options: codec auto picks among several"):
        codecs_with("compression.codec=auto", "compression.options={bits: 2}")
