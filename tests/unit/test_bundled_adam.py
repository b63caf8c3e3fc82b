"""What Adam for bundles does otherwise than Adam; what both promise is in test_every_optimizer."""

from __future__ import annotations

import torch
from torch import Tensor

from contract.workloads.base import Group, Hyperparameters
from coordinator.optimizers import OPTIMIZERS, Parameter

GROUP = Group(name="model", parameters=("a",))
# One value in so many is sent, with all that was gathered.
BUNDLE = 16
ROWS, COLUMNS = 32, 48


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def weights_after(
    name: str, gradients: list[Tensor], *, num_rows: int = 1, beta1: float = 0.5, epsilon: float = 1e-8
) -> Tensor:
    optimizer = OPTIMIZERS.build(name)
    weights = random(0, gradients[0].numel())
    parameter = Parameter(
        name="a",
        group=GROUP,
        weights=weights,
        moments={moment: torch.zeros_like(weights) for moment in optimizer.moments},
        num_rows=num_rows,
    )
    hyperparameters = Hyperparameters(learning_rate_g=0.01, beta1=beta1, epsilon=epsilon)
    for num_steps, gradient in enumerate(gradients):
        optimizer.step(parameter, gradient.flatten().clone(), num_steps=num_steps, hyperparameters=hyperparameters)
    return weights


def test_a_vector_is_stepped_as_by_adam() -> None:
    gradients = [random(seed, 1000) for seed in (1, 2, 3)]
    torch.testing.assert_close(weights_after("bundled_adam", gradients), weights_after("adam", gradients))


def test_squares_that_rows_and_columns_tell_are_those_of_adam() -> None:
    gradients = [random(seed, ROWS, 1) * random(seed, 1, COLUMNS) for seed in (1,)]
    gradients *= 3
    ours = weights_after("bundled_adam", gradients, num_rows=ROWS)
    torch.testing.assert_close(ours, weights_after("adam", gradients))


def test_no_more_than_half_of_the_first_moment_is_kept() -> None:
    gradients = [random(seed, 1000) for seed in (1, 2, 3)]
    most, half, less = (weights_after("bundled_adam", gradients, beta1=beta1) for beta1 in (0.9, 0.5, 0.1))
    assert torch.equal(most, half)
    assert not torch.equal(half, less)


def test_without_any_gradient_nothing_moves() -> None:
    ours = weights_after("bundled_adam", [torch.zeros(ROWS, COLUMNS)] * 2, num_rows=ROWS)
    assert torch.equal(ours, random(0, ROWS * COLUMNS))


def bundles(num_steps: int) -> list[Tensor]:
    """Noise of rows and columns of different size, and a sixteenth of a steady slope below it: each value is sent once
    in sixteen steps, with all that was gathered."""
    sizes = torch.logspace(-2, 0, ROWS)[:, None] * torch.logspace(-1, 0, COLUMNS)
    turns = random(9, ROWS * COLUMNS).argsort().view(ROWS, COLUMNS) % BUNDLE
    left_out = torch.zeros(ROWS, COLUMNS)
    sent = []
    for step in range(num_steps):
        left_out += sizes * (random(step, ROWS, COLUMNS) + 1 / BUNDLE)
        now = turns == step % BUNDLE
        sent.append(left_out * now)
        left_out = left_out * ~now
    return sent


def test_a_steady_slope_under_noise_is_followed_further_than_by_adam() -> None:
    """What a step is divided by depends on chance where it is known from a weight's own few bundles."""
    gradients = bundles(10 * BUNDLE)
    start = random(0, ROWS * COLUMNS)
    ways = {name: start - weights_after(name, gradients, num_rows=ROWS) for name in ("adam", "bundled_adam")}
    assert float(ways["bundled_adam"].mean()) > 1.1 * float(ways["adam"].mean()) > 0.0
