"""The embedding of the slides: a patch becomes one vector."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ConfigError
from ..principal import PrincipalComponents
from .interface import Embedding, Posterior

_LOG_VARIANCE = (-12.0, 2.0)  # keeps σ between e^-6 and e


class ResidualBlock(nn.Module):
    """x + conv(silu(conv(silu(x)))); the identity at the start (last convolution zero)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        _zero(self.second)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W), both."""
        return x + torch.as_tensor(self.second(F.silu(self.first(F.silu(x)))))


class VectorEmbedding(Embedding):
    """A VAE whose encoder and decoder each add a convolutional network to the linear optimum.

    Encoder: μ = W(x − m) + g(x), log σ² = h(x). Decoder: x̄ = m + V z̄ + r(m + V z̄, z̄). W, V and m start
    from the principal components of the training patches, g and r from zero, so that the network starts as
    the best linear VAE and never has to learn what is known in closed form: a linear VAE's optimum is
    probabilistic PCA (Tipping & Bishop 1999, doi:10.1111/1467-9868.00196; Lucas et al. 2019, arXiv:1911.02469).

    Nearly all of the decoder's work lies at a quarter of the resolution (pixel shuffle at the end), which is
    what lets it decode 250 patches of 128×128 in about a second on two cores.

    Args:
        patch_size: pixels, a multiple of 16.
        latent_dim: d.
        width: channels at a quarter of the resolution; twice as many at an eighth and a sixteenth.
    """

    kind = "vector"

    def __init__(self, patch_size: int = 128, latent_dim: int = 256, width: int = 32) -> None:
        super().__init__()
        if patch_size % 16 or patch_size < 32:
            raise ConfigError(
                f"a patch of {patch_size} pixels does not fit", hint="Take a multiple of 16, 32 or more."
            )
        self.patch_size, self.latent_shape, self.width = patch_size, (latent_dim,), width
        pixels, coarse, wide = patch_size**2, patch_size // 16, 2 * width
        self.mean = nn.Parameter(torch.zeros(pixels))
        self.project = nn.Parameter(torch.zeros(latent_dim, pixels))
        self.expand = nn.Parameter(torch.zeros(latent_dim, pixels))
        self.trunk = nn.Sequential(
            nn.PixelUnshuffle(4), nn.Conv2d(16, width, 3, padding=1), ResidualBlock(width),
            nn.Conv2d(width, wide, 3, stride=2, padding=1), ResidualBlock(wide),
            nn.Conv2d(wide, wide, 3, stride=2, padding=1), ResidualBlock(wide), nn.SiLU(),
        )  # fmt: skip
        self.posterior = nn.Linear(wide * coarse**2, 2 * latent_dim)
        self.lift = nn.Sequential(
            nn.Linear(latent_dim, wide * coarse**2), nn.Unflatten(1, (wide, coarse, coarse)), ResidualBlock(wide),
            nn.Conv2d(wide, 4 * wide, 1), nn.PixelShuffle(2), ResidualBlock(wide),
            nn.Conv2d(wide, 4 * width, 1), nn.PixelShuffle(2),
        )  # fmt: skip
        self.refine = nn.Sequential(
            nn.Conv2d(16 + width, width, 3, padding=1), ResidualBlock(width), ResidualBlock(width),
            ResidualBlock(width), nn.SiLU(), nn.Conv2d(width, 16, 3, padding=1), nn.PixelShuffle(4),
        )  # fmt: skip
        _zero(self.posterior)
        _zero(self.refine[-2])

    def start_from(self, components: PrincipalComponents, noise: float) -> None:
        """Set the linear parts; `noise` is the standard deviation of what the latent need not tell (normalised)."""
        scale = components.variances.clamp_min(1e-12).sqrt()[:, None]
        with torch.no_grad():
            self.mean.copy_(components.mean)
            self.project.copy_(components.directions / scale)
            self.expand.copy_(components.directions * scale)
            log_variance = 2 * torch.log(noise / scale[:, 0]).clamp(max=0)
            self.posterior.bias[len(scale) :] = log_variance.clamp(*_LOG_VARIANCE)

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """μ and log σ² of the posterior, (N, d) each, for normalised patches (N, 1, H, W)."""
        linear = (x.flatten(1) - self.mean) @ self.project.T
        shift, log_variance = self.posterior(self.trunk(x).flatten(1)).chunk(2, dim=1)
        return linear + shift, log_variance.clamp(*_LOG_VARIANCE)

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The training pass: x̄ = D(μ + σ·noise), μ and log σ², for x (N, 1, H, W) and noise (N, d)."""
        mean, log_variance = self.statistics(x)
        return self.decode(mean + (log_variance / 2).exp() * noise), mean, log_variance

    def encode(self, x: Tensor) -> Posterior:
        """(N, 1, H, W) -> posterior of (N, d)."""
        mean, log_variance = self.statistics(x)
        return Posterior(mean, (log_variance / 2).exp())

    def decode(self, latent: Tensor) -> Tensor:
        """(N, d) -> (N, 1, H, W)."""
        linear = torch.addmm(self.mean, latent, self.expand).unflatten(
            1, (1, self.patch_size, self.patch_size)
        )
        hints = torch.cat([F.pixel_unshuffle(linear, 4), self.lift(latent)], dim=1)
        return linear + torch.as_tensor(self.refine(hints))

    def features(self, x: Tensor) -> Tensor:
        """The encoder's maps at a quarter of the resolution, (N, width, H/4, W/4)."""
        maps: Tensor = self.trunk[:3](x)
        return maps


def _zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
