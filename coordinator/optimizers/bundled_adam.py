from __future__ import annotations

import dataclasses
from typing import ClassVar, Final

import torch
from torch import Tensor

from contract.workloads.base import Hyperparameters
from coordinator.optimizers.base import STEP_VALUES, Parameter, Recollection, in_cache

_FIRST: Final = "first_moment"
_SECOND: Final = "second_moment"
# What a sparse codec leaves out and sends later is a running sum of gradients already.
_MOST_MOMENTUM: Final = 0.5


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BundledAdam:
    """AdamW for gradients of a sparse codec, of which a value comes once in a while, with all that was gathered.

    A few bundles say little about the size of one weight's gradient, and much about that of its row and its column: the
    second moment of a matrix is taken for the product of its rows' and columns' means (Adafactor). And no more than
    half of the first moment is kept at each step, for the bundles are late already.
    """

    name: ClassVar[str] = "bundled_adam"
    moments: ClassVar[tuple[str, ...]] = (_FIRST, _SECOND)

    def step(self, parameter: Parameter, gradient: Tensor, *, num_steps: int, hyperparameters: Hyperparameters) -> None:
        beta1, beta2, count = _beta1(hyperparameters), hyperparameters.beta2, num_steps + 1
        first, second = parameter.moments[_FIRST], parameter.moments[_SECOND]
        for chunk, its_first, its_second in in_cache(gradient, first, second):
            its_first.lerp_(chunk, 1.0 - beta1)
            its_second.mul_(beta2).addcmul_(chunk, chunk, value=1.0 - beta2)
        # The gradient has done its work; its place is taken by the expected squares, and then by the denominator.
        _fill_expected(gradient, second, parameter.num_rows)
        rate, decay = hyperparameters.rate(parameter.group, num_steps), parameter.group.decay_of(parameter.name)
        for weights, chunk, its_first in in_cache(parameter.weights, gradient, first):
            if decay:
                weights.mul_(1.0 - rate * decay)
            chunk.sqrt_().div_((1.0 - beta2**count) ** 0.5).add_(hyperparameters.epsilon)
            weights.addcdiv_(its_first, chunk, value=-rate / (1.0 - beta1**count))

    def recollection(self, *, num_steps: int, hyperparameters: Hyperparameters) -> Recollection:
        # Before the first step the moment is zero, whatever it is multiplied with.
        return Recollection(moment=_FIRST, factor=1.0 / (1.0 - _beta1(hyperparameters) ** max(1, num_steps)))


def _beta1(hyperparameters: Hyperparameters) -> float:
    return min(hyperparameters.beta1, _MOST_MOMENTUM)


def _fill_expected(expected: Tensor, squares: Tensor, num_rows: int) -> None:
    """Of a matrix what rows and columns let expect of each value; of a vector the squares themselves."""
    if num_rows == 1 or num_rows == squares.numel():
        expected.copy_(squares)
        return
    expected, squares = expected.view(num_rows, -1), squares.view(num_rows, -1)
    width = squares.shape[1]
    # Sums of few enough values that no second thread has a part in their last bits.
    high, wide = max(1, STEP_VALUES // width), min(width, STEP_VALUES)
    of_rows = torch.zeros(num_rows, dtype=torch.float64)
    of_columns = torch.zeros(width, dtype=torch.float64)
    for top in range(0, num_rows, high):
        for left in range(0, width, wide):
            piece = squares[top : top + high, left : left + wide].double()
            of_rows[top : top + high] += piece.sum(1)
            of_columns[left : left + wide] += piece.sum(0)
    whole = float(of_columns.cumsum(0)[-1])
    if whole == 0.0:
        expected.zero_()
        return
    rows, columns = of_rows.div_(whole).float(), of_columns.float()
    for top in range(0, num_rows, high):
        torch.mul(rows[top : top + high, None], columns, out=expected[top : top + high])
