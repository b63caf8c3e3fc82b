from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from contract.sources import Batch, Dataset
from contract.tensors import pack
from contract.workloads import WORKLOADS, Workload
from contract.workloads.base import GradientResult, LocalSteps, Watch
from contract.workloads.batches import num_samples_of
from contract.workloads.units import Unit
from tests.unit.trained import SMALL, dataset_for, small
from worker.compute import Computer, Local

UNIT = Unit(epoch=1, first_sample=30, num_samples=20, seed=77)


def computer(
    workload: Workload,
    *,
    batch_size: int = 8,
    own_batch_size: int | None = None,
    on_smaller: Callable[[int], None] | None = None,
    local: Local | None = None,
) -> Computer:
    made = Computer(
        workload, dataset_for(workload), run_seed=4, batch_size=batch_size, own_batch_size=own_batch_size,
        on_smaller=on_smaller, local=local,
    )  # fmt: skip
    made.load(workload.initial(4))
    return made


def test_a_unit_is_a_pure_function() -> None:
    workload = small("mlp")
    results = [computer(workload).gradient(UNIT) for _ in range(2)]
    assert pack(results[0].tensors) == pack(results[1].tensors)


def test_samples_may_be_had_ready() -> None:
    made = computer(small("mlp"))
    expected = made.gradient(UNIT)
    assert pack(made.gradient(UNIT, made.samples(UNIT)).tensors) == pack(expected.tensors)


def test_units_take_their_own_samples() -> None:
    made = computer(small("mlp"))
    other = dataclasses.replace(UNIT, first_sample=50)
    assert made.gradient(UNIT).losses != made.gradient(other).losses


def test_the_watch_hears_of_every_batch() -> None:
    heard: list[int] = []
    computer(small("mlp")).gradient(UNIT, watch=heard.append)
    assert heard == [0, 8, 16]


def test_a_worker_may_have_a_batch_size_of_its_own() -> None:
    heard: list[int] = []
    computer(small("mlp"), own_batch_size=5).gradient(UNIT, watch=heard.append)
    assert heard == [0, 5, 10, 15]


def test_but_not_where_the_batch_matters() -> None:
    heard: list[int] = []
    computer(small("dcgan"), own_batch_size=5).gradient(UNIT, watch=heard.append)
    assert heard == [0, 8, 16]


def test_memory_that_does_not_suffice_halves_the_batch_for_good() -> None:
    heard: list[int] = []
    made = computer(small("mlp"), batch_size=20, on_smaller=heard.append)
    expected = made.gradient(UNIT)
    made.model = _Small(made.model, room=6)
    result = made.gradient(UNIT)
    assert heard == [10, 5]
    assert made.batch_size == 5
    for name, tensor in expected.tensors.items():
        torch.testing.assert_close(result.tensors[name], tensor, rtol=1e-4, atol=1e-6)


def test_memory_that_cannot_hold_one_sample_is_said() -> None:
    made = computer(small("mlp"), batch_size=20)
    made.model = _Small(made.model, room=0)
    with pytest.raises(torch.OutOfMemoryError):
        made.gradient(UNIT)


def test_a_batch_that_matters_is_not_cut() -> None:
    made = computer(small("dcgan"), batch_size=20)
    made.model = _Small(made.model, room=6)
    with pytest.raises(torch.OutOfMemoryError):
        made.gradient(UNIT)
    assert made.batch_size == 20


def of_local_steps(workload: Workload, seconds: float) -> Local:
    steps = LocalSteps(
        batch_size=8, steps_per_unit=3, groups=workload.groups(), hyperparameters=workload.hyperparameters
    )
    return Local(steps=steps, seconds=seconds)


def test_local_steps_are_computed_where_the_run_says_so() -> None:
    workload = small("mlp")
    whole = computer(workload, local=of_local_steps(workload, seconds=600)).gradient(UNIT)
    assert whole.num_samples == UNIT.num_samples
    assert pack(whole.tensors) != pack(computer(workload).gradient(UNIT).tensors)


def test_whoever_is_slow_delivers_the_steps_that_were_done() -> None:
    workload = small("mlp")
    fewer = computer(workload, local=of_local_steps(workload, seconds=0)).gradient(UNIT)
    shorter = dataclasses.replace(UNIT, num_samples=8)
    alone = computer(workload, local=of_local_steps(workload, seconds=600)).gradient(shorter)
    assert fewer.num_samples == 8
    assert pack(fewer.tensors) == pack(alone.tensors)


def test_the_schedule_of_local_steps_goes_on_where_the_updates_before_left_it() -> None:
    workload = WORKLOADS.build("small_transformer", {**SMALL["small_transformer"], "warmup_updates": 100})
    made = computer(workload, local=of_local_steps(workload, seconds=600))
    early, late = (made.gradient(UNIT, num_steps=number).tensors["embedding.weight"] for number in (0, 20))
    assert float(late.norm()) > 5 * float(early.norm())


def test_memory_that_does_not_suffice_cuts_the_batch_of_a_local_step() -> None:
    workload = small("mlp")
    heard: list[int] = []
    made = computer(workload, local=of_local_steps(workload, seconds=600), on_smaller=heard.append)
    made.model = _Small(made.model, room=6)
    assert made.gradient(UNIT).num_samples == UNIT.num_samples
    assert heard == [4]


class _Small:
    """A device with room for so many samples at a time."""

    def __init__(self, model: object, room: int) -> None:
        self.model = model
        self.room = room

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        self.model.load(tensors)  # type: ignore[attr-defined]

    def evaluate(self, dataset: Dataset, *, max_samples: int = 1024, seed: int = 0) -> dict[str, float]:
        raise NotImplementedError

    def gradient(self, samples: Batch, *, seed: int, batch_size: int, watch: Watch | None = None) -> GradientResult:
        if min(batch_size, num_samples_of(samples)) > self.room:
            raise torch.OutOfMemoryError("no room")
        result: GradientResult = self.model.gradient(  # type: ignore[attr-defined]
            samples, seed=seed, batch_size=batch_size, watch=watch
        )
        return result

    def local_steps(self, samples: Batch, *, batch_size: int, steps: LocalSteps, **told: object) -> GradientResult:
        if min(batch_size, steps.batch_size) > self.room:
            raise torch.OutOfMemoryError("no room")
        result: GradientResult = self.model.local_steps(  # type: ignore[attr-defined]
            samples, batch_size=batch_size, steps=steps, **told
        )
        return result
