"""What every embedding offers, whatever the form of its latent."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..tensors import PrincipalComponents


@dataclass(frozen=True)
class Posterior:
    """q(z̄ given x) = N(mean, std²), the same shape both: (N, d), or (N, c, h, w) for a grid."""

    mean: Tensor
    std: Tensor

    def sample(self, *, generator: torch.Generator) -> Tensor:
        """Draw one latent for every image."""
        noise = torch.randn(self.mean.shape, generator=generator, device=generator.device)
        return self.mean + self.std * noise.to(self.mean)


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL of N(μ, σ²) from N(0, 1), nats, summed over the latent: ½ Σ (μ² + σ² − 1 − log σ²); (N, …) -> (N,)."""
    terms = mean.square() + log_variance.exp() - 1 - log_variance
    return 0.5 * terms.flatten(1).sum(1)


class Embedding(nn.Module):
    """A complete data representation: z̄ = E(x), x̄ = D(z̄), on normalised images (N, 1, H, W).

    A decoder that is `guided` also sees an image at every place, the denoised one: x̄ = D(z̄, f(x)), as in the
    conditional VAE of the reference code (docs/method.md). z̄ then has only to hold what f(x) does not show.

    Attributes:
        kind: name under which a configuration asks for it.
        patch_size: pixels of the sides of the patches that it is trained on.
        guided: whether `decode` takes a guide.
        closed_form: whether it is known once its linear parts are, without training.
        fixed_size: whether images of `patch_size` are the only ones that it takes.
        factor: an image's sides must be a multiple of this many pixels; `encode` sees to it.
        latent_channels: numbers in a latent, or in each cell of it.
        radius: grids: cells from which a latent still changes a decoded block.
    """

    kind: ClassVar[str]
    patch_size: int
    guided: bool
    closed_form: ClassVar[bool] = False
    fixed_size: ClassVar[bool]
    factor: int
    latent_channels: int
    radius: int

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of the latent of one training patch."""
        return self.latent_shape_of(self.patch_size, self.patch_size)

    @abstractmethod
    def latent_shape_of(self, rows: int, columns: int) -> tuple[int, ...]:
        """Shape of the latent of an image of that size."""

    @abstractmethod
    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """μ and log σ² of the posterior for x (N, 1, H, W)."""

    @abstractmethod
    def decode(self, latent: Tensor, guide: Tensor | None = None) -> Tensor:
        """(N, *latent shape) -> (N, 1, H, W); guide (N or 1, 1, H, W) for a guided decoder only."""

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Maps of the encoder, (N, c, h, w), for images of any size: for a perceptual loss of CT itself."""

    @abstractmethod
    def linear_samples(self, x: Tensor) -> Tensor:
        """The rows whose principal components the linear parts start from, (M, pixels), of patches (N, 1, H, W)."""

    @abstractmethod
    def start_from(self, components: PrincipalComponents, noise: float) -> None:
        """Set the linear parts; `noise` is the standard deviation of what the latent need not tell (normalised)."""

    @abstractmethod
    def linear_parameters(self) -> list[nn.Parameter]:
        """The linear parts, which start at their optimum."""

    def encode(self, x: Tensor) -> Posterior:
        """(N, 1, H, W) -> posterior of (N, *latent shape)."""
        mean, log_variance = self.statistics(x)
        return Posterior(mean, (log_variance / 2).exp())

    def forward(self, x: Tensor, noise: Tensor, guide: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """The training pass: x̄ = D(μ + σ·noise), μ and log σ², for x (N, 1, H, W) and noise like μ."""
        mean, log_variance = self.statistics(x)
        return self.decode(mean + (log_variance / 2).exp() * noise, guide), mean, log_variance
