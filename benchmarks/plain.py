"""What somebody writes who trains alone: a model, a loss, zero_grad, backward, an optimizer of torch's.

    python -m benchmarks.plain WORKLOAD [--channels-last]

A benchmark drives it: each line on standard input is a number of seconds to train for, each line on standard output
what came of them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable
from typing import Final
from unittest import mock

import torch
from torch import nn
from torch.nn import functional

from contract.sources import SOURCES, Dataset
from contract.workloads import WORKLOADS, small_transformer
from contract.workloads.dcgan import Dcgan
from contract.workloads.small_transformer import SmallTransformer

DATA: Final = {"dcgan": "glyphs", "small_transformer": "stdlib"}
UNIT_SAMPLES: Final = {"dcgan": 64, "small_transformer": 16}
Step = Callable[[], object]


def transformer_step(options: SmallTransformer, size: int) -> Step:
    with mock.patch.object(small_transformer, "SampleDropout", lambda probability, stream: nn.Dropout(probability)):
        network = options._module()
    given, (group,) = options.hyperparameters, options.groups()
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=given.learning_rate_g,
        betas=(given.beta1, given.beta2),
        weight_decay=group.weight_decay,
    )
    dataset, numbers = _data("small_transformer"), itertools.count(0, size)

    def step() -> float:
        tokens = dataset.batch([place % dataset.num_samples for place in _next(numbers, size)]).tokens
        assert tokens is not None
        optimizer.zero_grad()
        loss = functional.cross_entropy(network(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def gan_step(options: Dcgan, size: int, *, channels_last: bool) -> Step:
    pair = options._module()
    if channels_last:
        pair.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    generator, discriminator = pair.get_submodule("generator"), pair.get_submodule("discriminator")
    given = options.hyperparameters
    betas = (given.beta1, given.beta2)
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=given.learning_rate_g, betas=betas)
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=given.learning_rate_d, betas=betas)
    halves = [list(generator.parameters()), list(discriminator.parameters())]
    entropy = nn.BCEWithLogitsLoss()
    real, fake = torch.ones(size), torch.zeros(size)
    dataset, numbers = _data("dcgan"), itertools.count(0, size)

    def step() -> tuple[float, float]:
        images = dataset.batch([place % dataset.num_samples for place in _next(numbers, size)]).images
        assert images is not None
        optimizer_g.zero_grad()
        optimizer_d.zero_grad()
        drawn = generator(torch.randn(size, options.latent_dim, 1, 1))
        # Two passes of the discriminator, as our unit has; most tutorials make three.
        seen, scores = discriminator(images).flatten(), discriminator(drawn).flatten()
        loss_d, loss_g = entropy(seen, real) + entropy(scores, fake), entropy(scores, real)
        loss_d.backward(retain_graph=True, inputs=halves[1])
        loss_g.backward(inputs=halves[0])
        optimizer_d.step()
        optimizer_g.step()
        return loss_d.item(), loss_g.item()

    return step


def step_of(name: str, *, channels_last: bool = False) -> Step:
    workload = WORKLOADS.build(name)
    if isinstance(workload, Dcgan):
        return gan_step(workload, UNIT_SAMPLES[name], channels_last=channels_last)
    assert isinstance(workload, SmallTransformer)
    return transformer_step(workload, UNIT_SAMPLES[name])


def _data(name: str) -> Dataset:
    return SOURCES.build(DATA[name]).open(path=None, split="train", num_samples=None, **WORKLOADS.build(name).view)


def _next(numbers: itertools.count[int], size: int) -> range:
    first = next(numbers)
    return range(first, first + size)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plain", description=__doc__)
    parser.add_argument("workload", choices=sorted(DATA))
    parser.add_argument("--channels-last", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    step = step_of(given.workload, channels_last=given.channels_last)
    step()
    print("ready", flush=True)
    for line in sys.stdin:
        step()
        began, steps = time.monotonic(), 0
        while time.monotonic() - began < float(line):
            step()
            steps += 1
        seconds = time.monotonic() - began
        said = {"samples": steps * UNIT_SAMPLES[given.workload], "seconds": seconds}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
