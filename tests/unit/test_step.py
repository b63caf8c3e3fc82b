from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from contract.compressors import CODECS, Decoder, encoded, open_blob, range_reader
from contract.ids import GradientId
from contract.tensors import Manifest, pack, unpack
from contract.workloads.base import Group, Hyperparameters, Schedule
from coordinator.admission import Admitted
from coordinator.aggregators import AGGREGATORS
from coordinator.mathematics import Mathematics
from coordinator.optimizers import OPTIMIZERS
from coordinator.privacy import Privacy
from coordinator.recipe import Recipe
from coordinator.step import TrainingState, advance, optimizer_manifest, overall_shares
from coordinator.vectors import BUFFERS, Vectors

HYPERPARAMETERS = Hyperparameters(learning_rate_g=0.01, learning_rate_d=0.03, beta1=0.8, beta2=0.95)
SHAPES = {"a.weight": (300, 200), "a.bias": (5,), "b.weight": (7, 3), "norm.running_mean": (4,)}


def random(seed: int, *, scale: float = 1.0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) * scale for name, shape in SHAPES.items()}


def vectors_of(*groups: Group) -> Vectors:
    manifest = Manifest.of(random(0))
    members = {group.name: set(group.parameters) for group in groups} | {BUFFERS: {"norm.running_mean"}}
    return Vectors(
        manifest=manifest,
        groups=groups,
        sizes={
            name: {spec.name: spec.num_values for spec in manifest.tensors if spec.name in names}
            for name, names in members.items()
        },
    )


A = Group(name="a", parameters=("a.weight", "a.bias"))
B = Group(name="b", parameters=("b.weight",), learning_rate="learning_rate_d")
PLAIN = vectors_of(A, B)


def how(vectors: Vectors = PLAIN, privacy: Privacy | None = None, optimizer: str = "adam") -> Mathematics:
    return Mathematics(
        vectors=vectors,
        hyperparameters=HYPERPARAMETERS,
        recipe=Recipe(rule=AGGREGATORS.build("mean")),
        optimizer=OPTIMIZERS.build(optimizer),
        privacy=privacy,
    )


def decoder_of(tensors: Mapping[str, Tensor]) -> Decoder:
    codec = CODECS.build("none")
    blob = encoded(codec, tensors, seed=0)
    return open_blob(codec, range_reader(blob), len(blob), Manifest.of(tensors))


def gradient(number: int, tensors: Mapping[str, Tensor], *, weight: float = 1.0, **factors: float) -> Admitted:
    return Admitted(
        gradient=GradientId(number), place=number, decoder=decoder_of(tensors), weight=weight, factors=factors
    )


def moved(state: TrainingState, gradients: list[Admitted], vectors: Vectors = PLAIN) -> dict[str, list[float]]:
    return advance(state, gradients, how(vectors))


def torchs_own(vectors: Vectors, steps: int) -> dict[str, Tensor]:
    weights = {name: tensor.clone().requires_grad_() for name, tensor in random(0).items()}
    optimizers = []
    for group in vectors.groups:
        decayed = [weights[name] for name in group.parameters if name not in group.spared]
        spared = [weights[name] for name in group.parameters if name in group.spared]
        optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": group.weight_decay}, {"params": spared, "weight_decay": 0.0}],
            lr=getattr(HYPERPARAMETERS, group.learning_rate),
            betas=(HYPERPARAMETERS.beta1, HYPERPARAMETERS.beta2),
            eps=HYPERPARAMETERS.epsilon,
            foreach=False,
        )
        optimizers.append((optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, group.schedule.share)))
    for step in range(steps):
        for name, tensor in random(step + 1).items():
            weights[name].grad = tensor
        for optimizer, schedule in optimizers:
            optimizer.step()
            schedule.step()
    return {name: weight.detach() for name, weight in weights.items()}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "spared": frozenset({"a.bias"})},
        {"schedule": Schedule(warmup_steps=2, decay_steps=4, floor=0.1)},
    ],
)
def test_a_step_is_that_of_torch_to_the_last_bit(change: dict[str, object]) -> None:
    vectors = vectors_of(dataclasses.replace(A, **change), B)  # type: ignore[arg-type]
    state = TrainingState.start(random(0), how(vectors))
    for step in range(8):
        moved(state, [gradient(step, random(step + 1))], vectors)
    for name, weight in torchs_own(vectors, 8).items():
        if not name.startswith("norm"):
            assert torch.equal(state.weights[name], weight), name


def test_adam_without_decay_is_torchs_adam() -> None:
    state = TrainingState.start(random(0), how())
    weight = random(0)["b.weight"].requires_grad_()
    optimizer = torch.optim.Adam([weight], lr=0.03, betas=(0.8, 0.95), foreach=False)
    for step in range(5):
        moved(state, [gradient(step, random(step + 1))])
        weight.grad = random(step + 1)["b.weight"]
        optimizer.step()
    assert torch.equal(state.weights["b.weight"], weight.detach())


def test_an_optimizer_is_told_which_values_are_a_row() -> None:
    bundled = how(optimizer="bundled_adam")
    state = TrainingState.start(random(0), bundled)
    rows, columns = torch.tensor([1.0, 2.0, 4.0, 8.0, 1.0, 1.0, 3.0])[:, None], torch.tensor([1.0, 10.0, 100.0])
    # A single value missing: its square is expected from those of its row and column.
    slope = rows * columns
    slope[3, 1] = 0.0
    advance(state, [gradient(1, {**random(1), "b.weight": slope})], bundled)
    way = (random(0)["b.weight"] - state.weights["b.weight"]) / 0.03
    expected = slope / (slope.square().sum(1)[:, None] * slope.square().sum(0) / slope.square().sum()).sqrt()
    torch.testing.assert_close(way, expected, rtol=1e-4, atol=1e-5)


def test_gradients_count_by_their_weights() -> None:
    mixed = TrainingState.start(random(0), how())
    moved(mixed, [gradient(1, random(1), weight=3.0), gradient(2, random(2), weight=1.0)])
    single = TrainingState.start(random(0), how())
    moved(single, [gradient(1, {name: 0.75 * value + 0.25 * random(2)[name] for name, value in random(1).items()})])
    for name, weight in mixed.weights.items():
        torch.testing.assert_close(weight, single.weights[name], rtol=1e-4, atol=1e-5)


def test_shares_are_in_the_order_of_the_ids() -> None:
    state = TrainingState.start(random(0), how())
    shares = moved(state, [gradient(9, random(1), weight=3.0), gradient(4, random(2), weight=1.0)])
    assert shares == {"a": [0.25, 0.75], "b": [0.25, 0.75], "buffers": [0.25, 0.75]}


def test_a_share_of_the_whole_counts_a_group_by_its_values() -> None:
    a, b = 300 * 200 + 5, 7 * 3
    shares = {"a": [1.0, 0.0], "b": [0.0, 1.0], "buffers": [0.5, 0.5]}
    assert overall_shares(shares, PLAIN) == pytest.approx([a / (a + b), b / (a + b)])


def test_the_order_of_arrival_does_not_matter() -> None:
    gradients = [gradient(number, random(number), weight=number) for number in (1, 2, 3)]
    states = [TrainingState.start(random(0), how()) for _ in range(2)]
    moved(states[0], gradients)
    moved(states[1], gradients[::-1])
    assert states[0].weights_blob == states[1].weights_blob
    assert states[0].optimizer_blob == states[1].optimizer_blob


def test_buffers_take_the_mean_of_the_values() -> None:
    state = TrainingState.start(random(0), how())
    moved(state, [gradient(1, random(1)), gradient(2, random(2))])
    expected = (random(1)["norm.running_mean"] + random(2)["norm.running_mean"]) / 2
    torch.testing.assert_close(state.weights["norm.running_mean"], expected)


def test_a_clipped_group_counts_for_less_and_the_others_do_not() -> None:
    clipped = TrainingState.start(random(0), how())
    moved(clipped, [gradient(1, random(1), a=0.5), gradient(2, random(2))])
    expected = TrainingState.start(random(0), how())
    halved = {name: value * 0.5 if name.startswith("a.") else value for name, value in random(1).items()}
    moved(expected, [gradient(1, halved), gradient(2, random(2))])
    for name, weight in clipped.weights.items():
        torch.testing.assert_close(weight, expected.weights[name])


def test_the_published_bytes_are_the_weights() -> None:
    state = TrainingState.start(random(0), how())
    moved(state, [gradient(1, random(1))])
    assert bytes(state.weights_blob) == pack(state.weights)
    assert bytes(state.optimizer_blob) == pack(state.moments)


def test_a_run_goes_on_from_its_blobs_as_if_never_interrupted() -> None:
    whole = TrainingState.start(random(0), how())
    moved(whole, [gradient(1, random(1))])
    resumed = TrainingState.resume(bytes(whole.weights_blob), bytes(whole.optimizer_blob), how(), step=whole.step)
    for state in (whole, resumed):
        moved(state, [gradient(2, random(2))])
    assert resumed.weights_blob == whole.weights_blob
    assert resumed.optimizer_blob == whole.optimizer_blob
    assert resumed.step == whole.step == 2


def test_a_bytearray_is_taken_over_not_copied() -> None:
    start = TrainingState.start(random(0), how())
    resumed = TrainingState.resume(start.weights_blob, start.optimizer_blob, how(), step=0)
    moved(resumed, [gradient(1, random(1))])
    assert torch.equal(start.weights["b.weight"], resumed.weights["b.weight"])


def test_the_optimizer_starts_from_zero() -> None:
    state = TrainingState.start(random(0), how())
    manifest = optimizer_manifest(how())
    moments = unpack(state.optimizer_blob, manifest, max_bytes=manifest.blob_bytes)
    assert len(moments) == 6
    assert not any(moment.any() for moment in moments.values())


def test_no_gradient_is_no_step() -> None:
    with pytest.raises(ValueError, match="mean needs n >= 1"):
        moved(TrainingState.start(random(0), how()), [])


def test_the_schedule_warms_up_and_cools_down() -> None:
    schedule = Schedule(warmup_steps=4, decay_steps=10, floor=0.1)
    shares = [schedule.share(step) for step in range(20)]
    assert shares[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert shares[9] == pytest.approx(0.55)
    assert shares[14:] == [pytest.approx(0.1)] * 6


def test_without_decay_the_rate_stays() -> None:
    assert [Schedule().share(step) for step in (0, 10, 10**9)] == [1.0, 1.0, 1.0]


def test_settings_that_are_unset_leave_the_workloads_own() -> None:
    settings = {"learning_rate_g": None, "beta1": 0.3, "batch_size": 4}
    assert HYPERPARAMETERS.with_settings(settings) == dataclasses.replace(HYPERPARAMETERS, beta1=0.3)


def test_in_private_the_noise_reaches_every_parameter_through_the_optimizer() -> None:
    plain = vectors_of(A, B)
    plain = dataclasses.replace(plain, sizes={name: sizes for name, sizes in plain.sizes.items() if name != BUFFERS})
    privacy = Privacy(clip_norm=1.0, noise_multiplier=4.0, delta=1e-5, epsilon_budget=8.0)
    still = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    states = [TrainingState.start(random(0), how(plain)) for _ in range(2)]
    for state in states:
        advance(state, [gradient(number, still) for number in (1, 2)], how(plain, privacy))
    one, other = (state.moments["first_moment/a.weight"] for state in states)
    # The noise on the mean of two is half of that on their sum; of it a fifth goes into the moment.
    assert float(one.std()) == pytest.approx(4.0 / 2 * 0.2, rel=0.03)
    assert not torch.equal(one, other)
    assert torch.equal(states[0].weights["norm.running_mean"], random(0)["norm.running_mean"])
