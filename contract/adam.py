"""Adam's arithmetic: the coordinator steps with it, and so does a worker that takes steps of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    # Workloads step with what is here.
    from contract.workloads.base import Hyperparameters


def adam_step(
    weights: Tensor,
    gradient: Tensor,
    first: Tensor,
    second: Tensor,
    *,
    count: int,
    rate: float,
    decay: float,
    hyperparameters: Hyperparameters,
) -> None:
    """The same operations in the same order as torch.optim.AdamW, so that the two agree to the last bit; its own would
    import torch's compiler. `count` is 1 at the first step. Afterwards `gradient` holds anything."""
    beta1, beta2 = hyperparameters.beta1, hyperparameters.beta2
    if decay:
        weights.mul_(1.0 - rate * decay)
    first.lerp_(gradient, 1.0 - beta1)
    second.mul_(beta2).addcmul_(gradient, gradient, value=1.0 - beta2)
    # The gradient has done its work; its place is taken by the denominator.
    torch.sqrt(second, out=gradient)
    gradient.div_((1.0 - beta2**count) ** 0.5).add_(hyperparameters.epsilon)
    weights.addcdiv_(first, gradient, value=-rate / (1.0 - beta1**count))
