"""The parts that every torch model shares: opening it without spending memory twice, and going through a unit."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from contract.adam import adam_step
from contract.sources.base import Batch, Dataset, Kind
from contract.tensors import Manifest
from contract.workloads.base import GradientResult, Group, Hyperparameters, LocalSteps, View, Watch
from contract.workloads.batches import num_samples_of, part_of
from contract.workloads.noise import Noise, SampleDropout

_EVALUATION_BATCH = 128


class ModuleModel(abc.ABC):
    """A torch module whose weights are overwritten in place. Gradients appear in its own `.grad` and are handed out."""

    def __init__(self, module: nn.Module, device: str) -> None:
        self.module = module.to_empty(device=device).train()
        self.device = torch.device(device)
        if self.device.type == "cpu":
            # Convolutions on a processor are an eighth faster this way (benchmarks/compute.py); others take no notice.
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._parameters = dict(module.named_parameters())
        self._buffers = dict(module.named_buffers())
        self._base_buffers = {name: torch.empty_like(buffer) for name, buffer in self._buffers.items()}
        self._dropouts = [part for part in module.modules() if isinstance(part, SampleDropout)]

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        self._restore_parameters(tensors)
        for name, buffer in self._base_buffers.items():
            buffer.copy_(tensors[name])
        self._restore_buffers()

    def gradient(self, samples: Batch, *, seed: int, batch_size: int, watch: Watch | None = None) -> GradientResult:
        total = num_samples_of(samples)
        self._restore_buffers()
        self._drop_gradients()
        losses = self._pass(samples, range(total), seed=seed, batch_size=batch_size, watch=watch)
        return self._result(self._take_gradients(), losses, total)

    def local_steps(
        self,
        samples: Batch,
        *,
        seed: int,
        batch_size: int,
        steps: LocalSteps,
        num_steps: int,
        watch: Watch | None = None,
        is_enough: Callable[[], bool] | None = None,
    ) -> GradientResult:
        total = num_samples_of(samples)
        losses: dict[str, Tensor] = {}
        self._restore_buffers()
        base = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
        moments = {name: (torch.zeros_like(value), torch.zeros_like(value)) for name, value in base.items()}
        done = 0
        try:
            for number, first in enumerate(range(0, total, steps.batch_size)):
                if number and is_enough is not None and is_enough():
                    break
                batch = range(first, min(first + steps.batch_size, total))
                self._drop_gradients()
                found = self._pass(samples, batch, seed=seed, batch_size=batch_size, watch=watch)
                self._step(moments, steps, num_steps, number)
                done = batch.stop
                for name, loss in found.items():
                    losses[name] = losses.get(name, torch.zeros_like(loss)).add_(loss, alpha=len(batch))
            # Their room is needed for what was taken.
            moments.clear()
            self._drop_gradients()
            taken = {name: base[name] - parameter.detach() for name, parameter in self._parameters.items()}
        finally:
            self._restore_parameters(base)
            self._drop_gradients()
        return self._result(
            {name: value.contiguous() for name, value in taken.items()},
            {name: loss / done for name, loss in losses.items()},
            done,
        )

    def _pass(
        self, samples: Batch, places: range, *, seed: int, batch_size: int, watch: Watch | None
    ) -> dict[str, Tensor]:
        """Adds the gradient of the mean loss over the samples at these places to `.grad`; returns the means."""
        losses: dict[str, Tensor] = {}
        for first in places[::batch_size]:
            if watch is not None:
                watch(first)
            batch = part_of(samples, first, min(first + batch_size, places.stop))
            share = num_samples_of(batch) / len(places)
            for name, loss in self._accumulate(batch, self._noise(seed, first, num_samples_of(batch)), share).items():
                losses[name] = loss * share if name not in losses else losses[name].add_(loss, alpha=share)
        return losses

    @torch.no_grad()
    def _step(
        self, moments: Mapping[str, tuple[Tensor, Tensor]], steps: LocalSteps, num_steps: int, number: int
    ) -> None:
        for group in steps.groups:
            rate = steps.rate(group, num_steps=num_steps, number=number)
            for name in group.parameters:
                parameter = self._parameters[name]
                gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                adam_step(
                    parameter, gradient, *moments[name],
                    count=number + 1, rate=rate, decay=group.decay_of(name), hyperparameters=steps.hyperparameters,
                )  # fmt: skip

    def _result(self, tensors: Mapping[str, Tensor], losses: Mapping[str, Tensor], num_samples: int) -> GradientResult:
        return GradientResult(
            tensors={**tensors, **{name: buffer.clone() for name, buffer in self._buffers.items()}},
            losses={name: loss.item() for name, loss in losses.items()},
            num_samples=num_samples,
        )

    @torch.no_grad()
    def evaluate(
        self, dataset: Dataset, *, max_samples: int = 1024, seed: int = 0, watch: Watch | None = None
    ) -> dict[str, float]:
        num_samples = min(max_samples, dataset.num_samples)
        self._restore_buffers()
        self.module.eval()
        try:
            return self._metrics(_batches(dataset, num_samples, watch), num_samples, seed)
        finally:
            self.module.train()

    @abc.abstractmethod
    def _accumulate(self, batch: Batch, noise: Noise, share: float) -> dict[str, Tensor]:
        """Add `share` of the gradient of the batch's mean loss to `.grad`; return detached means of the batch."""

    @abc.abstractmethod
    def _metrics(self, batches: Iterator[Batch], num_samples: int, seed: int) -> dict[str, float]: ...

    def _noise(self, seed: int, first: int, count: int) -> Noise:
        noise = Noise(seed=seed, first=first, count=count)
        for dropout in self._dropouts:
            dropout.noise = noise
        return noise

    def _backward(self, loss: Tensor, share: float, inputs: list[nn.Parameter], *, retain_graph: bool = False) -> None:
        # Only these parameters: the rest of the graph gets no gradient, and costs none.
        weight = None if share == 1.0 else torch.full_like(loss, share)
        loss.backward(weight, retain_graph=retain_graph, inputs=inputs)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def _restore_parameters(self, tensors: Mapping[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(tensors[name])

    @torch.no_grad()
    def _restore_buffers(self) -> None:
        for name, buffer in self._buffers.items():
            buffer.copy_(self._base_buffers[name])

    def _drop_gradients(self) -> None:
        # A unit that was given up half-way left some.
        for parameter in self._parameters.values():
            parameter.grad = None

    def _take_gradients(self) -> dict[str, Tensor]:
        taken = {}
        for name, parameter in self._parameters.items():
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            taken[name] = gradient.contiguous()
            parameter.grad = None
        return taken


class LossModel(ModuleModel):
    """One loss over all parameters."""

    def __init__(self, module: nn.Module, device: str) -> None:
        super().__init__(module, device)
        self._inputs = list(self._parameters.values())

    def _accumulate(self, batch: Batch, noise: Noise, share: float) -> dict[str, Tensor]:
        loss = self._loss(batch)
        self._backward(loss, share, self._inputs)
        return {"loss": loss.detach()}

    @abc.abstractmethod
    def _loss(self, batch: Batch) -> Tensor:
        """The mean over the batch's samples."""


class ModuleWorkload(abc.ABC):
    """What follows from the module alone. A workload adds its options, and is a frozen dataclass."""

    __slots__ = ()

    batch_matters: ClassVar[bool] = False
    kind: ClassVar[Kind]

    @property
    @abc.abstractmethod
    def hyperparameters(self) -> Hyperparameters: ...

    @property
    @abc.abstractmethod
    def view(self) -> View: ...

    @abc.abstractmethod
    def misfit(self, dataset: Dataset) -> str | None: ...

    @abc.abstractmethod
    def _module(self) -> nn.Module: ...

    @abc.abstractmethod
    def _open(self, module: nn.Module, device: str) -> ModuleModel: ...

    @abc.abstractmethod
    def _fill(self, module: nn.Module, generator: torch.Generator) -> None:
        """Give every parameter and buffer its first value."""

    def manifest(self) -> Manifest:
        module = self._bare_module()
        return Manifest.of({**dict(module.named_parameters()), **dict(module.named_buffers())})

    def groups(self) -> tuple[Group, ...]:
        return (Group(name="model", parameters=tuple(name for name, _ in self._bare_module().named_parameters())),)

    def buffers(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self._bare_module().named_buffers())

    def variances(self) -> tuple[str, ...]:
        layers = self._bare_module().named_modules()
        return tuple(f"{name}.running_var" for name, layer in layers if isinstance(layer, nn.BatchNorm2d))

    def initial(self, seed: int) -> dict[str, Tensor]:
        module = self._bare_module().to_empty(device="cpu")
        with torch.no_grad():
            self._fill(module, torch.Generator().manual_seed(seed))
        tensors: dict[str, Tensor] = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        return {name: tensor.detach() for name, tensor in tensors.items()}

    def open_model(self, device: str = "cpu") -> ModuleModel:
        return self._open(self._bare_module(), device)

    def _bare_module(self) -> nn.Module:
        # On "meta" a module takes no memory, and torch's own initialisation takes nothing from the global generator.
        with torch.device("meta"):
            return self._module()


def _batches(dataset: Dataset, num_samples: int, watch: Watch | None) -> Iterator[Batch]:
    # Evenly spread: neighbours may be pages of one book.
    places = [place * dataset.num_samples // num_samples for place in range(num_samples)]
    for first in range(0, num_samples, _EVALUATION_BATCH):
        if watch is not None:
            watch(first)
        yield dataset.batch(places[first : first + _EVALUATION_BATCH])


def fill_linear(weight: Tensor, bias: Tensor | None, generator: torch.Generator) -> None:
    """torch's own default for linear and convolution layers, from a generator of ours."""
    bound = (weight[0].numel()) ** -0.5
    weight.uniform_(-bound, bound, generator=generator)
    if bias is not None:
        bias.uniform_(-bound, bound, generator=generator)


def bare_embedding(num_rows: int, num_features: int) -> nn.Embedding:
    """nn.Embedding() draws normal numbers, and on "meta" that alone imports torch's compiler: 2.4 seconds."""
    rows = torch.empty(num_rows, num_features)
    embedding: nn.Embedding = nn.Embedding.from_pretrained(rows, freeze=False)  # type: ignore[no-untyped-call]
    return embedding
