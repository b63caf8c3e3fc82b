from __future__ import annotations

import dataclasses
from typing import ClassVar, Final

from torch import Tensor

from contract.adam import adam_step
from contract.workloads.base import Hyperparameters
from coordinator.optimizers.base import Parameter, Recollection, in_cache

_FIRST: Final = "first_moment"
_SECOND: Final = "second_moment"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Adam:
    """AdamW, with the learning rates, betas and schedules of the workload: for gradients."""

    name: ClassVar[str] = "adam"
    moments: ClassVar[tuple[str, ...]] = (_FIRST, _SECOND)

    def step(self, parameter: Parameter, gradient: Tensor, *, num_steps: int, hyperparameters: Hyperparameters) -> None:
        rate, decay = hyperparameters.rate(parameter.group, num_steps), parameter.group.decay_of(parameter.name)
        moments = parameter.moments
        for weights, chunk, first, second in in_cache(parameter.weights, gradient, moments[_FIRST], moments[_SECOND]):
            adam_step(
                weights, chunk, first, second,
                count=num_steps + 1, rate=rate, decay=decay, hyperparameters=hyperparameters,
            )  # fmt: skip

    def recollection(self, *, num_steps: int, hyperparameters: Hyperparameters) -> Recollection:
        # Before the first step the moment is zero, whatever it is multiplied with.
        return Recollection(moment=_FIRST, factor=1.0 / (1.0 - hyperparameters.beta1 ** max(1, num_steps)))
