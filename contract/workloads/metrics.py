"""How far a generator's images are from real ones, where no downloaded network may judge."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

_SEED: Final = 20260101
_WIDTHS: Final = (32, 64, 64)


class RandomFeatures(nn.Module):
    """128 features of an image: mean and spread of 64 channels of a random, fixed convolutional network.

    Random convolutions tell edges, strokes and textures apart well enough to rank generators of one run, and are the
    same on every machine. They say nothing across datasets or image sizes.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(_SEED)
        self.weights = nn.ParameterList()
        for width in _WIDTHS:
            # He's factor keeps the activations' size through the layers.
            std = (2.0 / (channels * 9)) ** 0.5
            weight = torch.empty(width, channels, 3, 3).normal_(std=std, generator=generator)
            self.weights.append(nn.Parameter(weight, requires_grad=False))
            channels = width

    def forward(self, images: Tensor) -> Tensor:
        for weight in self.weights:
            images = functional.leaky_relu(functional.conv2d(images, weight, stride=2, padding=1), 0.2)
        flat = images.flatten(2)
        return torch.cat([flat.mean(2), flat.std(2, correction=0)], dim=1)


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Between the Gaussians that have the means and covariances of these features (one row each)."""
    means, roots, covariances = [], [], []
    for features in (first.double(), second.double()):
        means.append(features.mean(0))
        covariance = torch.cov(features.T).reshape(features.shape[1], -1)
        covariances.append(covariance)
        values, vectors = torch.linalg.eigh(covariance)
        roots.append(vectors * values.clamp_min(0.0).sqrt() @ vectors.T)
    # The singular values of the product of the roots are the root's eigenvalues, and cannot come out complex.
    overlap = torch.linalg.svdvals(roots[0] @ roots[1]).sum()
    spread = covariances[0].trace() + covariances[1].trace() - 2.0 * overlap
    return float((means[0] - means[1]).square().sum() + spread.clamp_min(0.0))
