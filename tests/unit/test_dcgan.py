from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from contract.sources import Batch
from contract.workloads.dcgan import AdversarialModel, Dcgan
from contract.workloads.noise import Noise

OPTIONS = Dcgan(image_size=32, latent_dim=8, generator_features=4, discriminator_features=4)
IMAGES = torch.rand(12, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


def opened(options: Dcgan = OPTIONS) -> AdversarialModel:
    model = options.open_model()
    model.load(options.initial(0))
    return model


def by_the_book(module: nn.Module) -> dict[str, Tensor]:
    """The usual loop: three passes of the discriminator, and everything zeroed between the losses."""
    module = copy.deepcopy(module)
    generator, discriminator = module.get_submodule("generator"), module.get_submodule("discriminator")
    latent = Noise(seed=5, first=0, count=12).normal(0, 8)[:, :, None, None]
    entropy = functional.binary_cross_entropy_with_logits
    fake = generator(latent)
    real_score, fake_score = discriminator(IMAGES).flatten(), discriminator(fake.detach()).flatten()
    (entropy(real_score, torch.ones(12)) + entropy(fake_score, torch.zeros(12))).backward()
    gradients = {f"discriminator.{name}": weight.grad.clone() for name, weight in discriminator.named_parameters()}
    module.zero_grad()
    entropy(discriminator(fake).flatten(), torch.ones(12)).backward()
    return gradients | {f"generator.{name}": weight.grad for name, weight in generator.named_parameters()}


def test_the_gradients_are_those_of_the_usual_loop() -> None:
    model = opened()
    expected = by_the_book(model.module)
    result = model.gradient(Batch(images=IMAGES), seed=5, batch_size=12)
    for name, gradient in expected.items():
        torch.testing.assert_close(result.tensors[name], gradient, rtol=1e-4, atol=1e-6)


def test_samples_are_images() -> None:
    samples = opened().samples(5)
    assert samples.shape == (5, 1, 32, 32)
    assert bool((samples.abs() <= 1).all())


def test_samples_are_drawn_with_the_statistics_that_were_loaded() -> None:
    model = opened()
    before = model.samples(4)
    assert torch.equal(model.samples(4), before)
    result = model.gradient(Batch(images=IMAGES), seed=5, batch_size=12)
    assert torch.equal(model.samples(4), before)
    buffers = {name: result.tensors[name] for name in OPTIONS.buffers()}
    model.load(OPTIONS.initial(0) | buffers)
    assert not torch.equal(model.samples(4), before)


@pytest.mark.parametrize("image_size", [32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_shapes_fit(image_size: int, channels: int) -> None:
    options = Dcgan(
        image_size=image_size,  # type: ignore[arg-type]
        channels=channels,  # type: ignore[arg-type]
        generator_features=2,
        discriminator_features=2,
    )
    assert opened(options).samples(2).shape == (2, channels, image_size, image_size)


def test_weights_start_as_the_paper_has_them() -> None:
    weights = Dcgan().initial(0)
    assert weights["generator.0.weight"].std().item() == pytest.approx(0.02, rel=0.01)
    assert weights["generator.1.weight"].mean().item() == pytest.approx(1.0, abs=0.01)
    assert not weights["generator.1.bias"].any()
    assert bool((weights["generator.1.running_var"] == 1).all())
