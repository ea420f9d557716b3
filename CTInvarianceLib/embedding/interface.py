"""What every embedding offers, whatever the form of its latent."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Posterior:
    """q(z̄ given x) = N(mean, std²), the same shape both: (N, d), or (N, c, h, w) for a grid."""

    mean: Tensor
    std: Tensor

    def sample(self, *, generator: torch.Generator) -> Tensor:
        """Draw one latent for every image."""
        noise = torch.randn(self.mean.shape, generator=generator, device=generator.device)
        return self.mean + self.std * noise.to(self.mean)


class Embedding(nn.Module):
    """A complete data representation: z̄ = E(x), x̄ = D(z̄), on normalised images (N, 1, H, W).

    Attributes:
        kind: name under which a model set stores it.
        patch_size: pixels of the images' sides.
        latent_shape: shape of one latent.
    """

    kind: ClassVar[str]
    patch_size: int
    latent_shape: tuple[int, ...]

    @abstractmethod
    def encode(self, x: Tensor) -> Posterior:
        """(N, 1, H, W) -> posterior of (N, *latent_shape)."""

    @abstractmethod
    def decode(self, latent: Tensor) -> Tensor:
        """(N, *latent_shape) -> (N, 1, H, W)."""

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Feature maps of the encoder, (N, c, h, w), for images of any size: a perceptual loss of CT itself."""
