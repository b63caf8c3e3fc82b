"""What every workload promises. A new one is picked up by its line in the registry, and needs no test of its own."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import pytest
import torch

import contract.workloads
from contract.errors import ConfigError
from contract.tensors import Manifest, pack, unpack
from contract.workloads import WORKLOADS, Workload, require_fit
from tests.unit.trained import SEED, Few, computed, dataset_for, local_run, same_bits, samples_for, small


@pytest.fixture(scope="module", params=WORKLOADS.names)
def workload(request: pytest.FixtureRequest) -> Workload:
    return small(request.param)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_every_workload_of_the_folder_has_its_line() -> None:
    found = set()
    for module in pkgutil.iter_modules(contract.workloads.__path__, "contract.workloads."):
        for _, member in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if dataclasses.is_dataclass(member) and isinstance(getattr(member, "version", None), int):
                found.add(member)
    assert found == set(WORKLOADS)


@pytest.mark.parametrize("name", WORKLOADS.names)
def test_the_defaults_make_a_workload(name: str) -> None:
    workload = WORKLOADS.build(name)
    assert workload.version >= 1
    assert workload.manifest().num_values > 1000


def test_the_first_weights_are_those_of_the_manifest(workload: Workload) -> None:
    assert Manifest.of(workload.initial(0)) == workload.manifest()


def test_all_that_travels_is_float32(workload: Workload) -> None:
    assert {spec.dtype for spec in workload.manifest().tensors} == {"F32"}


def test_the_manifest_survives_its_json(workload: Workload) -> None:
    assert Manifest.from_json(workload.manifest().to_json()) == workload.manifest()


def test_the_weights_survive_their_blob(workload: Workload) -> None:
    weights = workload.initial(0)
    blob = pack(weights)
    assert pack(unpack(blob, workload.manifest(), max_bytes=len(blob))) == blob


def test_every_tensor_is_a_parameter_of_one_group_or_a_buffer(workload: Workload) -> None:
    parameters = [name for group in workload.groups() for name in group.parameters]
    assert sorted([*parameters, *workload.buffers()]) == sorted(workload.manifest().names)


def test_what_weight_decay_spares_is_in_the_group(workload: Workload) -> None:
    assert all(group.spared <= set(group.parameters) for group in workload.groups())


def test_a_seed_decides_the_first_weights(workload: Workload) -> None:
    assert pack(workload.initial(5)) == pack(workload.initial(5))
    assert pack(workload.initial(5)) != pack(workload.initial(6))


def test_first_weights_are_finite_and_no_parameter_was_forgotten(workload: Workload) -> None:
    # Memory that nobody wrote to would rarely be as small as this.
    assert all(bool((value.abs() < 10).all()) for value in workload.initial(5).values())


def test_the_same_unit_twice_gives_the_same_bits(workload: Workload) -> None:
    samples = samples_for(workload, 20)
    assert same_bits(computed(workload, samples), computed(workload, samples))


def test_a_model_remembers_nothing_of_the_unit_before(workload: Workload) -> None:
    samples = samples_for(workload, 20)
    model = workload.open_model()
    model.load(workload.initial(3))
    first = model.gradient(samples, seed=SEED, batch_size=8)
    model.gradient(samples, seed=SEED + 1, batch_size=8)
    assert same_bits(first, model.gradient(samples, seed=SEED, batch_size=8))


def test_a_unit_that_was_dropped_leaves_no_trace(workload: Workload) -> None:
    class Dropped(Exception):
        pass

    def drop(done: int) -> None:
        if done > 0:
            raise Dropped

    samples = samples_for(workload, 20)
    model = workload.open_model()
    model.load(workload.initial(3))
    with pytest.raises(Dropped):
        model.gradient(samples, seed=SEED, batch_size=8, watch=drop)
    assert same_bits(computed(workload, samples), model.gradient(samples, seed=SEED, batch_size=8))


def test_evaluation_changes_nothing(workload: Workload) -> None:
    samples = samples_for(workload, 20)
    model = workload.open_model()
    model.load(workload.initial(3))
    model.evaluate(dataset_for(workload, "held_out"), max_samples=40)
    assert same_bits(computed(workload, samples), model.gradient(samples, seed=SEED, batch_size=8))


def test_the_gradient_has_the_manifest_of_the_weights(workload: Workload) -> None:
    assert Manifest.of(computed(workload, samples_for(workload, 10)).tensors) == workload.manifest()


def test_every_number_is_finite(workload: Workload) -> None:
    result = computed(workload, samples_for(workload, 10))
    assert all(bool(tensor.isfinite().all()) for tensor in result.tensors.values())
    assert result.losses
    assert all(abs(loss) < 1000 for loss in result.losses.values())


def test_every_parameter_has_a_gradient(workload: Workload) -> None:
    result = computed(workload, samples_for(workload, 16), batch_size=16)
    silent = [name for group in workload.groups() for name in group.parameters if not result.tensors[name].any()]
    assert silent == []


def test_the_samples_are_counted(workload: Workload) -> None:
    assert computed(workload, samples_for(workload, 19)).num_samples == 19


def test_how_a_worker_cuts_its_batches_changes_nothing(workload: Workload) -> None:
    if workload.batch_matters:
        pytest.skip("the batch is part of this unit's definition: docs/decisions/0010")
    samples = samples_for(workload, 21)
    whole = computed(workload, samples, batch_size=21)
    for batch_size in (1, 8):
        cut = computed(workload, samples, batch_size=batch_size)
        for name, tensor in whole.tensors.items():
            torch.testing.assert_close(cut.tensors[name], tensor, rtol=1e-4, atol=1e-6)
        assert cut.losses == pytest.approx(whole.losses, rel=1e-5)


def test_where_the_batch_is_said_to_matter_it_does(workload: Workload) -> None:
    if not workload.batch_matters:
        pytest.skip("any cut gives the same here")
    samples = samples_for(workload, 16)
    assert computed(workload, samples, batch_size=16).losses != pytest.approx(
        computed(workload, samples, batch_size=8).losses, rel=1e-4
    )


def test_another_seed_is_other_noise_or_none(workload: Workload) -> None:
    samples = samples_for(workload, 16)
    first, second = (computed(workload, samples, seed=seed) for seed in (1, 2))
    has_noise = workload.name in {"dcgan", "small_transformer"}
    assert same_bits(first, second) is not has_noise


def test_the_buffers_travel(workload: Workload) -> None:
    initial = workload.initial(3)
    result = computed(workload, samples_for(workload, 16))
    assert all(not torch.equal(result.tensors[name], initial[name]) for name in workload.buffers())


def test_the_global_generator_is_left_alone(workload: Workload) -> None:
    before = torch.get_rng_state()
    model = workload.open_model()
    model.load(workload.initial(1))
    model.gradient(samples_for(workload, 16), seed=1, batch_size=8)
    model.evaluate(dataset_for(workload, "held_out"), max_samples=16)
    assert torch.equal(torch.get_rng_state(), before)


def test_loaded_weights_are_copied_not_kept(workload: Workload) -> None:
    weights = workload.initial(3)
    model = workload.open_model()
    model.load(weights)
    for tensor in weights.values():
        tensor.zero_()
    samples = samples_for(workload, 16)
    assert same_bits(computed(workload, samples), model.gradient(samples, seed=SEED, batch_size=8))


def test_the_variances_are_named_and_are_none_below_zero(workload: Workload) -> None:
    assert set(workload.variances()) == {name for name in workload.buffers() if name.endswith("var")}
    result = computed(workload, samples_for(workload, 16))
    assert all(bool((result.tensors[name] >= 0).all()) for name in workload.variances())


def test_whoever_watches_a_measurement_can_end_it(workload: Workload) -> None:
    model = workload.open_model()
    model.load(workload.initial(3))
    seen: list[int] = []

    def watch(num_done: int) -> None:
        seen.append(num_done)
        if num_done:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        model.evaluate(dataset_for(workload, "held_out"), max_samples=200, watch=watch)
    assert seen == [0, 128]
    assert model.evaluate(dataset_for(workload, "held_out"), max_samples=16)


def test_the_metrics_are_numbers_and_repeat(workload: Workload) -> None:
    model = workload.open_model()
    model.load(workload.initial(3))
    held_out = dataset_for(workload, "held_out")
    metrics = model.evaluate(held_out, max_samples=64)
    assert metrics
    assert all(value == value and abs(value) < 1e6 for value in metrics.values())
    assert model.evaluate(held_out, max_samples=64) == metrics


def test_twenty_steps_on_one_batch_lower_the_loss(workload: Workload) -> None:
    few = Few(dataset_for(workload), 16)
    hyperparameters = dataclasses.replace(workload.hyperparameters, learning_rate_g=0.005, learning_rate_d=0.005)
    run = local_run(
        workload, few, hyperparameters=hyperparameters, batch_size=16, batches_per_unit=1, units_per_update=1
    )
    updates = list(run.updates(20))
    loss = "loss_d" if "loss_d" in updates[0].losses else "loss"
    assert updates[-1].losses[loss] < 0.97 * updates[0].losses[loss]


@pytest.mark.parametrize("codec", ["none", "fp16"])
def test_two_runs_of_one_seed_are_the_same_run(workload: Workload, codec: str) -> None:
    runs = [local_run(workload, dataset_for(workload), codec=codec) for _ in range(2)]
    for run in runs:
        run.update()
        run.update()
    assert runs[0].state.weights_blob == runs[1].state.weights_blob
    assert runs[0].state.optimizer_blob == runs[1].state.optimizer_blob


def test_data_of_the_other_kind_is_refused(workload: Workload) -> None:
    other = small("mlp" if workload.kind == "text" else "tiny_lstm")
    require_fit(workload, dataset_for(workload))
    with pytest.raises(ConfigError, match="needs"):
        require_fit(workload, dataset_for(other))
