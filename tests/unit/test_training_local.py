"""Learning, tested by loss and by held-out metrics, with fixed seeds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import pytest
import torch

from contract.compressors import CODECS
from contract.config import Model
from contract.errors import BarnraiseError, ConfigError
from contract.workloads import WORKLOADS, options_from
from coordinator.aggregators import AGGREGATORS
from coordinator.recipe import Recipe
from coordinator.training_local import LocalRun, Schooling
from tests.unit.trained import dataset_for, local_run, small


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("codec", ["none", "fp16", "sparse"])
def test_an_mlp_learns_the_glyphs(codec: str) -> None:
    workload = WORKLOADS.build("mlp")
    run = local_run(workload, dataset_for(workload, num_samples=None), codec=codec, batch_size=64)
    for _ in range(80):
        run.update()
    assert run.model.evaluate(dataset_for(workload, "held_out", None), max_samples=2000)["accuracy"] >= 0.97


def test_a_cnn_learns_the_glyphs() -> None:
    workload = WORKLOADS.build("cnn", {"image_size": 16, "features": 8, "hidden_features": 64})
    hyperparameters = dataclasses.replace(workload.hyperparameters, learning_rate_g=0.003)
    run = local_run(workload, dataset_for(workload, num_samples=None), hyperparameters=hyperparameters, batch_size=32)
    for _ in range(100):
        run.update()
    assert run.model.evaluate(dataset_for(workload, "held_out", None))["accuracy"] >= 0.9


def test_a_transformer_learns_the_library() -> None:
    workload = WORKLOADS.build(
        "small_transformer",
        {"features": 64, "hidden_features": 128, "num_layers": 1, "context": 64, "warmup_updates": 5},
    )
    hyperparameters = dataclasses.replace(workload.hyperparameters, learning_rate_g=0.005)
    held_out = dataset_for(workload, "held_out", None)
    run = local_run(workload, dataset_for(workload, num_samples=None), hyperparameters=hyperparameters, batch_size=16)
    before = run.model.evaluate(held_out, max_samples=128)["loss"]
    for _ in range(25):
        run.update()
    after = run.model.evaluate(held_out, max_samples=128)["loss"]
    assert before == pytest.approx(math.log(256), abs=0.1)
    assert after < 3.3


def test_an_lstm_learns_the_library() -> None:
    workload = WORKLOADS.build("tiny_lstm", {"context": 24})
    hyperparameters = dataclasses.replace(workload.hyperparameters, learning_rate_g=0.01)
    run = local_run(workload, dataset_for(workload, num_samples=None), hyperparameters=hyperparameters, batch_size=16)
    losses = [update.losses["loss"] for update in run.updates(30)]
    assert losses[-1] < 0.65 * losses[0]


def test_a_generator_halves_its_distance() -> None:
    workload = WORKLOADS.build("dcgan", {"image_size": 32, "generator_features": 16, "discriminator_features": 16})
    hyperparameters = dataclasses.replace(workload.hyperparameters, learning_rate_g=0.001, learning_rate_d=0.0004)
    held_out = dataset_for(workload, "held_out", None)
    run = local_run(
        workload,
        dataset_for(workload, num_samples=None),
        hyperparameters=hyperparameters,
        batch_size=16,
        batches_per_unit=1,
    )
    before = run.model.evaluate(held_out, max_samples=256)["frechet_distance"]
    for _ in range(120):
        run.update()
    assert run.model.evaluate(held_out, max_samples=256)["frechet_distance"] < before / 2


def test_losses_are_those_of_all_samples() -> None:
    run = local_run(small("mlp"), dataset_for(small("mlp")))
    update = run.update()
    assert (update.step, update.num_samples, update.refused) == (1, 32, ())


def test_an_epoch_ends_with_a_shorter_unit() -> None:
    workload = small("mlp")
    run = local_run(workload, dataset_for(workload, num_samples=250), batch_size=10, batches_per_unit=10)
    seen: list[tuple[int, int, int]] = []
    for _ in run.updates(3, on_unit=lambda unit: seen.append((unit.epoch, unit.first_sample, unit.num_samples))):
        pass
    assert seen == [(0, 0, 100), (0, 100, 100), (0, 200, 50), (1, 0, 100), (1, 100, 100), (1, 200, 50)]


def test_what_is_left_at_the_end_and_too_little_for_the_rule_is_not_used() -> None:
    workload = small("mlp")
    recipe = Recipe(rule=AGGREGATORS.build("krum", {"num_byzantine": 1}))
    schooling = Schooling(
        batch_size=8, batches_per_unit=4, units_per_update=5, num_epochs=1, recipe=recipe,
        hyperparameters=workload.hyperparameters, codec=CODECS.build("none"),
    )  # fmt: skip
    run = LocalRun(workload, dataset_for(workload), schooling)
    # Of eight units.
    assert run.num_updates == 1
    assert [update.num_samples for update in run.updates(run.num_updates)] == [160]


def test_weights_that_explode_are_said() -> None:
    workload = small("cnn")
    hyperparameters = dataclasses.replace(workload.hyperparameters, learning_rate_g=1e30)
    run = local_run(workload, dataset_for(workload), hyperparameters=hyperparameters)
    with pytest.raises(BarnraiseError, match="every gradient was refused: not finite: model"):
        for _ in run.updates(5):
            pass


def test_only_what_was_changed_becomes_an_option() -> None:
    as_the_template_has_it = Model(name="mlp", image_size=64, latent_dim=100)
    assert options_from(as_the_template_has_it) == {}
    assert options_from(Model(name="mlp", image_size=20)) == {"image_size": 20}
    assert options_from(Model(name="mlp", options={"hidden_features": 3})) == {"hidden_features": 3}


def test_a_changed_key_that_the_workload_lacks_is_named() -> None:
    with pytest.raises(ConfigError, match=r"model\.latent_dim"):
        options_from(Model(name="mlp", latent_dim=5))


def test_an_unknown_workload_is_named() -> None:
    with pytest.raises(ConfigError, match="unknown workload 'tiny-lstm'; did you mean tiny_lstm"):
        options_from(Model.model_construct(name="tiny-lstm"))
