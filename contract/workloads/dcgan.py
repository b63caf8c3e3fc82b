from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import ClassVar, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from contract.sources.base import Batch, Dataset, Kind
from contract.workloads.base import Group, Hyperparameters, View
from contract.workloads.batches import num_samples_of
from contract.workloads.metrics import RandomFeatures, frechet_distance
from contract.workloads.noise import Noise
from contract.workloads.opened import ModuleModel, ModuleWorkload

_LATENT_STREAM: Final = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Dcgan(ModuleWorkload):
    """A generator of images and a discriminator that tells them from real ones (Radford, Metz and Chintala, 2015)."""

    name: ClassVar[str] = "dcgan"
    version: ClassVar[int] = 1
    kind: ClassVar[Kind] = "images"
    batch_matters: ClassVar[bool] = True
    image_size: Literal[32, 64] = 64
    channels: Literal[1, 3] = 1
    latent_dim: int = 100
    generator_features: int = 64
    discriminator_features: int = 64

    def __post_init__(self) -> None:
        if min(self.latent_dim, self.generator_features, self.discriminator_features) < 1:
            raise ValueError("latent_dim, generator_features and discriminator_features are at least 1")

    @property
    def hyperparameters(self) -> Hyperparameters:
        return Hyperparameters(beta1=0.5)

    @property
    def view(self) -> View:
        return View(image_size=self.image_size, channels=self.channels)

    def misfit(self, dataset: Dataset) -> str | None:
        return None if dataset.vocabulary_size is None else "needs images, and this data is text"

    def groups(self) -> tuple[Group, ...]:
        names = [name for name, _ in self._bare_module().named_parameters()]
        return (
            Group(name="generator", parameters=tuple(name for name in names if name.startswith("generator."))),
            Group(
                name="discriminator",
                parameters=tuple(name for name in names if name.startswith("discriminator.")),
                learning_rate="learning_rate_d",
            ),
        )

    def _module(self) -> nn.Module:
        # Widths from the 4-pixel image to the one before the last: 8, 4, 2, 1 times the features at 64 pixels.
        widths = [8, 4, 2, 1] if self.image_size == 64 else [4, 2, 1]
        return nn.ModuleDict(
            {
                "generator": _generator(self, [width * self.generator_features for width in widths]),
                "discriminator": _discriminator(self, [width * self.discriminator_features for width in widths]),
            }
        )

    def _fill(self, module: nn.Module, generator: torch.Generator) -> None:
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.weight.normal_(0.0, 0.02, generator=generator)
            elif isinstance(layer, nn.BatchNorm2d):
                layer.weight.normal_(1.0, 0.02, generator=generator)
                layer.bias.zero_()
        for name, buffer in module.named_buffers():
            buffer.fill_(1.0 if name.endswith("running_var") else 0.0)

    def _open(self, module: nn.Module, device: str) -> AdversarialModel:
        return AdversarialModel(module, device, self)

    def open_model(self, device: str = "cpu") -> AdversarialModel:
        return self._open(self._bare_module(), device)


class AdversarialModel(ModuleModel):
    def __init__(self, module: nn.Module, device: str, options: Dcgan) -> None:
        super().__init__(module, device)
        self.generator = module.get_submodule("generator")
        self.discriminator = module.get_submodule("discriminator")
        self._options = options
        self._generator_inputs = list(self.generator.parameters())
        self._discriminator_inputs = list(self.discriminator.parameters())

    def samples(self, num_samples: int, *, seed: int = 0) -> Tensor:
        self._restore_buffers()
        self.module.eval()
        try:
            with torch.no_grad():
                return self._draw(Noise(seed=seed, first=0, count=num_samples)).cpu()
        finally:
            self.module.train()

    def _accumulate(self, batch: Batch, noise: Noise, share: float) -> dict[str, Tensor]:
        fake = self._draw(noise)
        score_real = self._scores(_images(batch).to(self.device))
        # Both halves stand at the base version, so the discriminator looks at the forgeries once for both losses.
        score_fake = self._scores(fake)
        # softplus(-s) and softplus(s) are the cross-entropies of a score s against "real" and against "fake".
        loss_d = functional.softplus(-score_real).mean() + functional.softplus(score_fake).mean()
        loss_g = functional.softplus(-score_fake).mean()
        # Each loss asks for its own half's gradient, or the generator's loss would leak into the discriminator's.
        self._backward(loss_d, share, self._discriminator_inputs, retain_graph=True)
        self._backward(loss_g, share, self._generator_inputs)
        return {
            "loss_d": loss_d.detach(),
            "loss_g": loss_g.detach(),
            "d_x": score_real.detach().sigmoid().mean(),
            "d_g_z": score_fake.detach().sigmoid().mean(),
        }

    def _metrics(self, batches: Iterator[Batch], num_samples: int, seed: int) -> dict[str, float]:
        features = RandomFeatures(self._options.channels).to(self.device)
        seen: list[Tensor] = []
        drawn: list[Tensor] = []
        d_x = d_g_z = 0.0
        first = 0
        for batch in batches:
            real = _images(batch).to(self.device)
            fake = self._draw(Noise(seed=seed, first=first, count=num_samples_of(batch)))
            first += num_samples_of(batch)
            d_x += self._scores(real).sigmoid().sum().item()
            d_g_z += self._scores(fake).sigmoid().sum().item()
            seen.append(features(real).cpu())
            drawn.append(features(fake).cpu())
        distance = frechet_distance(torch.cat(seen), torch.cat(drawn))
        return {"d_x": d_x / num_samples, "d_g_z": d_g_z / num_samples, "frechet_distance": distance}

    def _draw(self, noise: Noise) -> Tensor:
        latent = noise.normal(_LATENT_STREAM, self._options.latent_dim).to(self.device)
        images: Tensor = self.generator(latent[:, :, None, None])
        return images

    def _scores(self, images: Tensor) -> Tensor:
        scores: Tensor = self.discriminator(images)
        return scores.flatten()


def _generator(options: Dcgan, widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.ConvTranspose2d(options.latent_dim, widths[0], 4, bias=False),
        _batch_norm(widths[0]),
        nn.ReLU(inplace=True),
    ]
    for before, after in itertools.pairwise(widths):
        layers += [
            nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False),
            _batch_norm(after),
            nn.ReLU(inplace=True),
        ]
    layers += [nn.ConvTranspose2d(widths[-1], options.channels, 4, stride=2, padding=1, bias=False), nn.Tanh()]
    return nn.Sequential(*layers)


def _discriminator(options: Dcgan, widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(options.channels, widths[-1], 4, stride=2, padding=1, bias=False),
        nn.LeakyReLU(0.2, inplace=True),
    ]
    for before, after in zip(widths[:0:-1], widths[-2::-1], strict=True):
        layers += [
            nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False),
            _batch_norm(after),
            nn.LeakyReLU(0.2, inplace=True),
        ]
    layers.append(nn.Conv2d(widths[0], 1, 4, bias=False))
    return nn.Sequential(*layers)


def _batch_norm(width: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(width)
    # A count that nothing reads while `momentum` is set, and that could not be averaged.
    layer.num_batches_tracked = None
    return layer


def _images(batch: Batch) -> Tensor:
    assert batch.images is not None
    return batch.images
