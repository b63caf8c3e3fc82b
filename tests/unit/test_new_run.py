"""From a configuration to the record of a run, and how the two are compared afterwards."""

from __future__ import annotations

import datetime
from dataclasses import fields
from pathlib import Path

import pytest

from contract.config import Config, parse_config
from contract.errors import ConfigError
from contract.ids import RunId, Version
from contract.states import RunState
from coordinator.ledger.runs import RunRecord
from coordinator.new_run import differences, new_run, open_dataset, open_workload

GLYPHS = "{run: {seed: 3}, model: {name: mlp, image_size: 12}, data: {name: glyphs, num_samples: 200}}"


def config_of(*overrides: str, text: str = GLYPHS) -> Config:
    return parse_config(text, source="test", overrides=overrides, environ={})


def record_of(config: Config) -> RunRecord:
    new = new_run(config, config_file=None)
    shared = {field.name: getattr(new, field.name) for field in fields(RunRecord) if hasattr(new, field.name)}
    return RunRecord(
        run=RunId(1), state=RunState.RUNNING, state_reason=None, head_version=Version(0),
        created_at=datetime.datetime.now(datetime.UTC), **shared,
    )  # fmt: skip


def test_the_record_holds_the_data_it_was_made_with() -> None:
    config = config_of()
    data = new_run(config, config_file=None).data
    dataset = open_dataset(config, open_workload(config), config_file=None, num_samples=200)
    assert data == {"name": "glyphs", "options": {}, "num_samples": 200, "fingerprint": dataset.fingerprint}


def test_the_held_out_split_has_a_size_of_its_own() -> None:
    config = config_of()
    assert open_dataset(config, open_workload(config), config_file=None, split="held_out").num_samples == 10_000


def test_a_path_is_found_from_the_folder_of_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("To be read by a small model. " * 100, "utf-8")
    config = config_of(text="{model: {name: tiny_lstm, options: {context: 8}}, data: {name: text, path: texts}}")
    assert open_dataset(config, open_workload(config), config_file=tmp_path / "config.yaml").num_samples > 10


def test_local_steps_are_merged_with_momentum() -> None:
    config = config_of("training.mode=local", "training.outer_learning_rate=0.5", "training.outer_momentum=0.8")
    training = new_run(config, config_file=None).training
    assert (training["optimizer"], training["optimizer_options"]) == (
        "nesterov", {"learning_rate": 0.5, "momentum": 0.8},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "optimizer"),
    [
        (["compression.codec=none"], "adam"),
        (["compression.codec=sign"], "adam"),
        (["compression.codec=sparse"], "bundled_adam"),
        (["compression.codec=topk", "training.mode=async"], "bundled_adam"),
        (["compression.codec=auto"], "adam"),
        (["compression.codec=sparse", "training.mode=local"], "nesterov"),
    ],
)
def test_gradients_that_come_in_bundles_are_stepped_as_such(overrides: list[str], optimizer: str) -> None:
    assert new_run(config_of(*overrides), config_file=None).training["optimizer"] == optimizer


@pytest.mark.parametrize(
    ("overrides", "kept"),
    [
        (["training.mode=sync"], 1.0),
        (["training.mode=async"], 1.0),
        (["training.mode=local"], 0.95),
        (["training.mode=sync", "compression.feedback_decay=0.5"], 0.5),
        (["training.mode=sync", "compression.feedback_decay=0"], 0.0),
    ],
)
def test_what_a_codec_left_out_decays_only_where_it_grows_old(overrides: list[str], kept: float) -> None:
    assert new_run(config_of(*overrides), config_file=None).training["feedback_decay"] == kept


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("compression.downlink=two_bits", "compression.downlink: unknown codec 'two_bits'; did you mean two_bit"),
        ("compression.downlink_options={block: 0}", "compression.downlink: codec two_bit: block must be from 1"),
    ],
)
def test_a_codec_that_versions_cannot_travel_in_is_refused(override: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        new_run(config_of(override), config_file=None)


@pytest.mark.parametrize(
    ("overrides", "seconds"),
    [
        (["training.round_deadline=100"], 50),
        (["training.round_deadline=100", "training.local_seconds=70"], 70),
        # After an hour a lease ends, however well its worker is heard of.
        (["training.round_deadline=100000", "training.local_seconds=90000"], 1800),
    ],
)
def test_a_slow_worker_ends_its_steps_in_good_time(overrides: list[str], seconds: float) -> None:
    config = config_of("training.mode=local", *overrides)
    assert new_run(config, config_file=None).training["local_seconds"] == seconds


def test_a_configuration_agrees_with_the_run_it_made() -> None:
    config = config_of()
    assert differences(config, record_of(config), asks_for_more=False) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("training.batch_size=8", "batch_size 32, not 8"),
        ("training.mode=async", "training.mode sync, not async"),
        ("run.seed=4", "run.seed 3, not 4"),
        ("compression.codec=fp16", "codec none, not fp16"),
        ("training.num_epochs=60", "num_epochs 50, not 60 (--epochs 60 gives it more)"),
        ("training.num_epochs=10", "num_epochs 50, not 10"),
        ("model.image_size=20", "model Mlp(image_size=12"),
        ("model.name=cnn", "model.name mlp, not cnn"),
        ("data.name=shapes", "data.name glyphs, not shapes"),
        ("data.num_samples=100", "data.num_samples 200, not 100"),
    ],
)
def test_what_the_run_keeps_is_named(change: str, says: str) -> None:
    (told,) = differences(config_of(change), record_of(config_of()), asks_for_more=False)
    assert told.startswith(says)


def test_more_epochs_that_are_asked_for_are_no_difference() -> None:
    assert differences(config_of("training.num_epochs=60"), record_of(config_of()), asks_for_more=True) == []


def test_a_private_run_keeps_its_terms() -> None:
    training = new_run(config_of("privacy.enabled=true"), config_file=None).training
    terms = {"clip_norm": 1.0, "noise_multiplier": 2.0, "delta": 1e-5, "epsilon_budget": 8.0}
    assert training["privacy"] == terms
    assert new_run(config_of(), config_file=None).training["privacy"] is None


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["model.name=dcgan", "model.image_size=32"], "privacy.enabled: dcgan has running statistics"),
        (
            ["privacy.delta=0.01", "data.num_samples=null"],
            "privacy.delta: 0.01 must be less than 1 / number of samples",
        ),
        (["compression.codec=fp16"], "what compression.codec fp16 leaves out of one update goes with later ones"),
        (["compression.codec=fp16", "compression.feedback_decay=0.0"], None),
        (["compression.codec=auto"], "what compression.codec auto leaves out of one update goes with later ones"),
        (["privacy.noise_multiplier=1.0"], "must be 1.2"),
    ],
)
def test_what_does_not_go_with_privacy_is_refused(overrides: list[str], says: str | None) -> None:
    config = config_of("privacy.enabled=true", *overrides)
    if says is None:
        new_run(config, config_file=None)
        return
    with pytest.raises(ConfigError) as caught:
        new_run(config, config_file=None)
    assert says in str(caught.value)
