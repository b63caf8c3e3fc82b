"""What every workload promises of a unit of local steps. It follows from `ModuleModel`; a new one needs no test."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import pytest
import torch

from contract.sources import Batch
from contract.tensors import Manifest
from contract.workloads import WORKLOADS, Workload
from contract.workloads.base import GradientResult, LocalSteps, OpenModel, Watch
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


def stepped(
    workload: Workload, samples: Batch, *, batch_size: int = 8, num_steps: int = 0, at_most: int | None = None
) -> GradientResult:
    model = workload.open_model()
    model.load(workload.initial(3))
    return steps_of(model, workload, samples, batch_size=batch_size, num_steps=num_steps, at_most=at_most)


def steps_of(
    model: OpenModel,
    workload: Workload,
    samples: Batch,
    *,
    batch_size: int = 8,
    num_steps: int = 0,
    at_most: int | None = None,
    watch: Watch | None = None,
) -> GradientResult:
    steps = LocalSteps(
        batch_size=8, steps_per_unit=3, groups=workload.groups(), hyperparameters=workload.hyperparameters
    )
    asked = itertools.count(1)
    return model.local_steps(
        samples, seed=SEED, batch_size=batch_size, steps=steps, num_steps=num_steps, watch=watch,
        is_enough=lambda: at_most is not None and next(asked) >= at_most,
    )  # fmt: skip


def test_one_local_step_is_one_of_torchs_adamw(workload: Workload) -> None:
    samples, given = samples_for(workload, 8), workload.hyperparameters
    gradient, first = computed(workload, samples).tensors, workload.initial(3)
    taken = stepped(workload, samples).tensors
    for group in workload.groups():
        for name in group.parameters:
            weights = first[name].clone().requires_grad_()
            weights.grad = gradient[name]
            torch.optim.AdamW(
                [weights],
                lr=getattr(given, group.learning_rate) * group.schedule.share(0),
                betas=(given.beta1, given.beta2),
                eps=given.epsilon,
                weight_decay=0.0 if name in group.spared else group.weight_decay,
                foreach=False,
            ).step()
            assert torch.equal(taken[name], first[name] - weights.detach()), name


def test_local_steps_twice_give_the_same_bits(workload: Workload) -> None:
    samples = samples_for(workload, 20)
    assert same_bits(stepped(workload, samples), stepped(workload, samples))


def test_each_batch_is_a_step_from_where_the_last_one_led(workload: Workload) -> None:
    samples = samples_for(workload, 24)
    taken = [stepped(workload, samples, at_most=number).tensors for number in (1, 2, 3)]
    for group in workload.groups():
        for name in group.parameters:
            one, two, three = (tensors[name] for tensors in taken)
            assert not torch.equal(one, two)
            assert not torch.equal(two, three)


def test_fewer_local_steps_are_those_of_a_shorter_unit(workload: Workload) -> None:
    fewer = stepped(workload, samples_for(workload, 24), at_most=2)
    assert fewer.num_samples == 16
    assert same_bits(fewer, stepped(workload, samples_for(workload, 16)))


def test_at_least_one_local_step_is_done(workload: Workload) -> None:
    assert stepped(workload, samples_for(workload, 24), at_most=0).num_samples == 8


def test_local_steps_leave_the_model_as_it_was(workload: Workload) -> None:
    samples = samples_for(workload, 20)
    model = workload.open_model()
    model.load(workload.initial(3))
    steps_of(model, workload, samples)
    assert same_bits(computed(workload, samples), model.gradient(samples, seed=SEED, batch_size=8))
    assert same_bits(stepped(workload, samples), steps_of(model, workload, samples))


def test_local_steps_that_were_dropped_leave_no_trace(workload: Workload) -> None:
    def drop(done: int) -> None:
        if done > 8:
            raise InterruptedError

    samples = samples_for(workload, 20)
    model = workload.open_model()
    model.load(workload.initial(3))
    with pytest.raises(InterruptedError):
        steps_of(model, workload, samples, watch=drop)
    assert same_bits(computed(workload, samples), model.gradient(samples, seed=SEED, batch_size=8))


def test_local_steps_have_the_manifest_of_the_weights(workload: Workload) -> None:
    result = stepped(workload, samples_for(workload, 20))
    assert Manifest.of(result.tensors) == workload.manifest()
    assert result.losses.keys() == computed(workload, samples_for(workload, 8)).losses.keys()
    assert result.num_samples == 20


def test_buffers_after_local_steps_are_values(workload: Workload) -> None:
    result, initial = stepped(workload, samples_for(workload, 20)), workload.initial(3)
    for name in workload.buffers():
        assert not torch.equal(result.tensors[name], initial[name])
        assert bool((result.tensors[name] >= 0).all()) or name not in workload.variances()


def test_how_a_worker_cuts_the_batch_of_a_local_step_changes_nothing(workload: Workload) -> None:
    if workload.batch_matters:
        pytest.skip("the batch is part of this unit's definition: docs/decisions/0010")
    # One step: after two, Adam's first steps make a difference in the last bits of a gradient near zero a large one.
    samples = samples_for(workload, 8)
    whole, cut = stepped(workload, samples), stepped(workload, samples, batch_size=3)
    assert cut.losses == pytest.approx(whole.losses, rel=1e-5)
    moved = torch.cat([whole.tensors[name].flatten() for group in workload.groups() for name in group.parameters])
    differs = torch.cat([cut.tensors[name].flatten() for group in workload.groups() for name in group.parameters])
    assert float((differs - moved).norm()) < 0.02 * float(moved.norm())


def test_rounds_of_local_steps_lower_the_loss(workload: Workload) -> None:
    few = Few(dataset_for(workload), 32)
    hyperparameters = dataclasses.replace(workload.hyperparameters, learning_rate_g=0.005, learning_rate_d=0.005)
    run = local_run(workload, few, mode="local", hyperparameters=hyperparameters, batch_size=4, batches_per_unit=4)
    updates = list(run.updates(10))
    loss = "loss_d" if "loss_d" in updates[0].losses else "loss"
    assert updates[-1].losses[loss] < 0.97 * updates[0].losses[loss]
