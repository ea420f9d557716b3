"""The embedding of the slides: a patch becomes one vector."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..base import ConfigError
from ..tensors import PrincipalComponents
from .blocks import LOG_VARIANCE, ResidualBlock, start_at_zero
from .interface import Embedding
from .linear import LinearVAE


class VectorEmbedding(Embedding):
    """A VAE whose encoder and decoder each add a convolutional network to the linear optimum.

    Encoder: μ = W(x − m) + g(x), log σ² = h(x). Decoder: x̄ = m + V z̄ + r(m + V z̄, z̄). W, V and m start
    from the principal components of the training patches, g and r from zero, so that the network starts as
    the best linear VAE (`LinearVAE`) and never has to learn what is known in closed form.

    Nearly all of the decoder's work lies at a quarter of the resolution (pixel shuffle at the end), which is
    what lets it decode 250 patches of 128×128 in about a second on two cores.

    Args:
        patch_size: pixels, a multiple of 16.
        latent_dim: d.
        width: channels at a quarter of the resolution; twice as many at an eighth and a sixteenth.
        guided: whether the decoder sees the denoised image.
    """

    kind = "vector"
    fixed_size = True

    def __init__(
        self, patch_size: int = 128, latent_dim: int = 256, width: int = 32, *, guided: bool = False
    ) -> None:
        super().__init__()
        if patch_size % 16 or patch_size < 32:
            raise ConfigError(
                f"a patch of {patch_size} pixels does not fit", hint="Take a multiple of 16, 32 or more."
            )
        self.patch_size = self.factor = patch_size
        self.radius = 0
        self.latent_channels, self.guided = latent_dim, guided
        coarse, wide = patch_size // 16, 2 * width
        self.linear = LinearVAE(patch_size**2, latent_dim)
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
            nn.Conv2d(16 + width + 16 * guided, width, 3, padding=1), ResidualBlock(width), ResidualBlock(width),
            ResidualBlock(width), nn.SiLU(), nn.Conv2d(width, 16, 3, padding=1), nn.PixelShuffle(4),
        )  # fmt: skip
        start_at_zero(self.posterior)
        start_at_zero(self.refine[-2])

    def latent_shape_of(self, rows: int, columns: int) -> tuple[int, ...]:
        """(d,), for patches of `patch_size` only."""
        return (self.latent_channels,)

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """μ and log σ² of the posterior, (N, d) each, for normalised patches (N, 1, H, W)."""
        linear = (x.flatten(1) - self.linear.mean) @ self.linear.project.T
        shift, log_variance = self.posterior(self.trunk(x).flatten(1)).chunk(2, dim=1)
        return linear + shift, log_variance.clamp(*LOG_VARIANCE)

    def decode(self, latent: Tensor, guide: Tensor | None = None) -> Tensor:
        """(N, d) -> (N, 1, H, W)."""
        linear = torch.addmm(self.linear.mean, latent, self.linear.expand)
        linear = linear.unflatten(1, (1, self.patch_size, self.patch_size))
        hints = [F.pixel_unshuffle(linear, 4), self.lift(latent)]
        if guide is not None:
            hints.append(F.pixel_unshuffle(guide, 4).expand(len(latent), -1, -1, -1))
        return linear + torch.as_tensor(self.refine(torch.cat(hints, dim=1)))

    def features(self, x: Tensor) -> Tensor:
        """The encoder's maps at a quarter of the resolution, (N, width, H/4, W/4)."""
        maps: Tensor = self.trunk[:3](x)
        return maps

    def linear_samples(self, x: Tensor) -> Tensor:
        """The patches, each a row."""
        return x.flatten(1)

    def start_from(self, components: PrincipalComponents, noise: float) -> None:
        """Set the linear parts from the principal components of patches."""
        with torch.no_grad():
            self.posterior.bias[self.latent_channels :] = self.linear.start_from(components, noise)

    def linear_parameters(self) -> list[nn.Parameter]:
        """W, V and m."""
        return list(self.linear.parameters())
