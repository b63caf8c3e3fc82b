"""What does a unit cost, against a plain PyTorch loop that does the same mathematics?

    python -m benchmarks.compute

One thread, the two taking turns, medians of CPU seconds (the machine may be busy). A ratio above 1 means that
`worker/compute.py` is the faster one.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from unittest import mock

import torch
from torch import nn
from torch.nn import functional

from contract.sources import SOURCES, Batch, Dataset
from contract.workloads import WORKLOADS, Workload, small_transformer
from contract.workloads.dcgan import Dcgan
from contract.workloads.units import Unit
from worker.compute import Computer

ROUNDS = 11
IN_MEMORY = 512
Step = Callable[[], object]


@dataclasses.dataclass(frozen=True)
class InMemory:
    """So that reading data costs both sides the same, and little."""

    source: Dataset
    whole: Batch
    num_samples: int = IN_MEMORY

    def batch(self, indices: Sequence[int]) -> Batch:
        chosen = torch.as_tensor(indices)
        return Batch(
            images=None if self.whole.images is None else self.whole.images[chosen],
            tokens=None if self.whole.tokens is None else self.whole.tokens[chosen],
        )


def in_memory(workload: Workload) -> InMemory:
    source = SOURCES.build("glyphs" if workload.kind == "images" else "stdlib")
    dataset = source.open(path=None, split="train", num_samples=None, **workload.view)
    return InMemory(dataset, dataset.batch(range(IN_MEMORY)))


def unit_step(workload: Workload, data: InMemory, size: int) -> Step:
    computer = Computer(workload, data, run_seed=0, batch_size=size)  # type: ignore[arg-type]
    computer.load(workload.initial(0))
    numbers = iter(range(10**9))
    return lambda: computer.gradient(Unit(epoch=next(numbers), first_sample=0, num_samples=size, seed=1))


def transformer_step(workload: Workload, data: InMemory, size: int) -> Step:
    with mock.patch.object(small_transformer, "SampleDropout", lambda probability, stream: nn.Dropout(probability)):
        network = workload._module()  # type: ignore[attr-defined]

    def step() -> float:
        network.zero_grad(set_to_none=True)
        tokens = data.batch(torch.randperm(IN_MEMORY)[:size].tolist()).tokens
        assert tokens is not None
        loss = functional.cross_entropy(network(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        return loss.item()

    return step


def gan_step(workload: Dcgan, data: InMemory, size: int, *, passes: int) -> Step:
    """Two passes of the discriminator are what the unit does; three are what most tutorials do."""
    pair = workload._module()
    generator, discriminator = pair.get_submodule("generator"), pair.get_submodule("discriminator")
    halves = [list(generator.parameters()), list(discriminator.parameters())]
    entropy = nn.BCEWithLogitsLoss()
    real, fake = torch.ones(size), torch.zeros(size)

    def step() -> tuple[float, float]:
        pair.zero_grad(set_to_none=True)
        images = data.batch(torch.randperm(IN_MEMORY)[:size].tolist()).images
        drawn = generator(torch.randn(size, workload.latent_dim, 1, 1))
        seen = discriminator(images).flatten()
        if passes == 2:
            scores = discriminator(drawn).flatten()
            loss_d, loss_g = entropy(seen, real) + entropy(scores, fake), entropy(scores, real)
            loss_d.backward(retain_graph=True, inputs=halves[1])
        else:
            loss_d = entropy(seen, real) + entropy(discriminator(drawn.detach()).flatten(), fake)
            loss_d.backward()
            loss_g = entropy(discriminator(drawn).flatten(), real)
        loss_g.backward(inputs=halves[0])
        return loss_d.item(), loss_g.item()

    return step


def race(plain: Step, unit: Step) -> tuple[float, float]:
    seconds: tuple[list[float], list[float]] = ([], [])
    for step in (plain, unit):
        step()
    for _ in range(ROUNDS):
        for step, spent in zip((plain, unit), seconds, strict=True):
            started = time.process_time()
            step()
            spent.append(time.process_time() - started)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def main() -> None:
    torch.set_num_threads(1)
    gan, transformer = Dcgan(), WORKLOADS.build("small_transformer")
    images, text = in_memory(gan), in_memory(transformer)
    pairs = {
        "dcgan, 64 images, the same passes": (gan_step(gan, images, 64, passes=2), unit_step(gan, images, 64)),
        "dcgan, 64 images, tutorial's passes": (gan_step(gan, images, 64, passes=3), unit_step(gan, images, 64)),
        "small_transformer, 16 sequences": (transformer_step(transformer, text, 16), unit_step(transformer, text, 16)),
    }
    print(f"{'unit':38}{'plain, s':>10}{'unit, s':>10}{'ratio':>8}")
    for name, (plain, unit) in pairs.items():
        theirs, ours = race(plain, unit)
        print(f"{name:38}{theirs:10.3f}{ours:10.3f}{theirs / ours:8.3f}")


if __name__ == "__main__":
    main()
