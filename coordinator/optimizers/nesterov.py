from __future__ import annotations

import dataclasses
from typing import ClassVar, Final

from torch import Tensor

from contract.workloads.base import Hyperparameters
from coordinator.optimizers.base import Parameter, Recollection, in_cache

_MOMENTUM: Final = "momentum"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Nesterov:
    """Steps along what the workers' own steps came to, and a little further in the direction of the rounds before."""

    name: ClassVar[str] = "nesterov"
    moments: ClassVar[tuple[str, ...]] = (_MOMENTUM,)
    learning_rate: float = 0.7
    momentum: float = 0.9

    def __post_init__(self) -> None:
        if self.learning_rate <= 0.0 or not 0.0 <= self.momentum < 1.0:
            raise ValueError("learning_rate is above 0, momentum at least 0 and below 1")

    def step(self, parameter: Parameter, gradient: Tensor, *, num_steps: int, hyperparameters: Hyperparameters) -> None:
        """The same operations in the same order as torch.optim.SGD."""
        for weights, chunk, momentum in in_cache(parameter.weights, gradient, parameter.moments[_MOMENTUM]):
            momentum.mul_(self.momentum).add_(chunk)
            chunk.add_(momentum, alpha=self.momentum)
            weights.add_(chunk, alpha=-self.learning_rate)

    def recollection(self, *, num_steps: int, hyperparameters: Hyperparameters) -> Recollection:
        # A geometric sum of the aggregates; before the first step it is zero, whatever it is multiplied with.
        factor = (1.0 - self.momentum) / (1.0 - self.momentum ** max(1, num_steps))
        return Recollection(moment=_MOMENTUM, factor=factor)
