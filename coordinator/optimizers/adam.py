from __future__ import annotations

import dataclasses
from typing import ClassVar, Final

import torch
from torch import Tensor

from contract.workloads.base import Hyperparameters
from coordinator.optimizers.base import Parameter, Recollection, in_cache

_FIRST: Final = "first_moment"
_SECOND: Final = "second_moment"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Adam:
    """The same operations in the same order as torch.optim.AdamW, so that the two agree to the last bit."""

    name: ClassVar[str] = "adam"
    moments: ClassVar[tuple[str, ...]] = (_FIRST, _SECOND)

    def step(self, parameter: Parameter, gradient: Tensor, *, num_steps: int, hyperparameters: Hyperparameters) -> None:
        group = parameter.group
        beta1, beta2 = hyperparameters.beta1, hyperparameters.beta2
        rate = getattr(hyperparameters, group.learning_rate) * group.schedule.share(num_steps)
        count = num_steps + 1
        step_size = rate / (1.0 - beta1**count)
        root_of_correction = (1.0 - beta2**count) ** 0.5
        decay = 0.0 if parameter.name in group.spared else group.weight_decay
        moments = parameter.moments
        for weights, chunk, first, second in in_cache(parameter.weights, gradient, moments[_FIRST], moments[_SECOND]):
            if decay:
                weights.mul_(1.0 - rate * decay)
            first.lerp_(chunk, 1.0 - beta1)
            second.mul_(beta2).addcmul_(chunk, chunk, value=1.0 - beta2)
            # The gradient has done its work; its place is taken by the denominator.
            torch.sqrt(second, out=chunk)
            chunk.div_(root_of_correction).add_(hyperparameters.epsilon)
            weights.addcdiv_(first, chunk, value=-step_size)

    def recollection(self, *, num_steps: int, hyperparameters: Hyperparameters) -> Recollection:
        # Before the first step the moment is zero, whatever it is multiplied with.
        return Recollection(moment=_FIRST, factor=1.0 / (1.0 - hyperparameters.beta1 ** max(1, num_steps)))
