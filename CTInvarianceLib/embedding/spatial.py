"""An image of any size becomes a grid of small vectors, with fewer numbers than pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..base import ConfigError
from ..tensors import PrincipalComponents, pad_to_multiple
from .blocks import LOG_VARIANCE, ResidualBlock, start_at_zero
from .interface import Embedding
from .linear import LinearVAE


class SpatialEmbedding(Embedding):
    """A fully convolutional VAE that works on blocks of f×f pixels, each a cell of the grid.

    With u the blocks of x, as channels: μ = W(u − m) + g(u), log σ² = h(u); decoded blocks ū = m + V z̄ +
    r(m + V z̄, z̄). W, V and m start from the principal components of the blocks and g and r from zero, as in
    `VectorEmbedding`: the network starts as the best linear code of single blocks, and its convolutions learn what
    neighbouring blocks know of each other. All of them lie at the grid's resolution, which is what makes it fast.

    Args:
        patch_size: pixels of the training patches' sides, a multiple of `factor`.
        factor: f, pixels of a cell's sides.
        channels: c, numbers in a cell, at most f².
        width: channels of the convolutions.
        blocks: residual blocks of the encoder, and of the decoder.
        guided: whether the decoder sees the denoised image.

    Raises:
        ConfigError: a size that is not possible.
    """

    kind = "spatial"
    fixed_size = False

    def __init__(
        self,
        patch_size: int = 128,
        factor: int = 4,
        channels: int = 8,
        width: int = 48,
        blocks: int = 3,
        *,
        guided: bool = False,
    ) -> None:
        super().__init__()
        if factor < 1 or patch_size % factor or patch_size < 4 * factor:
            raise ConfigError(
                f"a patch of {patch_size} pixels does not fit",
                hint=f"Take a multiple of {factor}, {4 * factor} or more.",
            )
        if not 1 <= channels <= factor**2:
            raise ConfigError(
                f"a cell of {factor}×{factor} pixels cannot hold {channels} numbers",
                hint=f"Take 1 to {factor**2} channels.",
            )
        self.patch_size, self.factor, self.latent_channels = patch_size, factor, channels
        self.guided, pixels = guided, factor**2
        self.linear = LinearVAE(pixels, channels)
        self.trunk = nn.Sequential(_convolution(pixels, width), *_residual(width, blocks), nn.SiLU())
        self.posterior = _convolution(width, 2 * channels)
        self.refine = nn.Sequential(
            _convolution(pixels + channels + guided * pixels, width),
            *_residual(width, blocks),
            nn.SiLU(),
            _convolution(width, pixels),
        )
        self.radius = sum(isinstance(module, nn.Conv2d) for module in self.refine.modules())
        start_at_zero(self.posterior)
        start_at_zero(self.refine[-1])

    def latent_shape_of(self, rows: int, columns: int) -> tuple[int, ...]:
        """(c, ⌈rows/f⌉, ⌈columns/f⌉)."""
        return self.latent_channels, -(-rows // self.factor), -(-columns // self.factor)

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """μ and log σ² of the posterior, (N, c, ⌈H/f⌉, ⌈W/f⌉) each; sides that do not divide are continued."""
        blocks = self._blocks(x)
        weight, mean = self.linear.project[:, :, None, None], self.linear.mean[:, None, None]
        shift, log_variance = self.posterior(self.trunk(blocks)).chunk(2, dim=1)
        return F.conv2d(blocks - mean, weight) + shift, log_variance.clamp(*LOG_VARIANCE)

    def decode(self, latent: Tensor, guide: Tensor | None = None) -> Tensor:
        """(N, c, h, w) -> (N, 1, f·h, f·w), with a guide of about that size where the decoder is guided."""
        linear = F.conv2d(latent, self.linear.expand.T[:, :, None, None], self.linear.mean)
        hints = [linear, latent]
        if guide is not None:
            hints.append(self._blocks(guide).expand(len(latent), -1, -1, -1))
        refined: Tensor = self.refine(torch.cat(hints, dim=1))
        return F.pixel_shuffle(linear + refined, self.factor)

    def features(self, x: Tensor) -> Tensor:
        """μ, (N, c, ⌈H/f⌉, ⌈W/f⌉): of unit variance from its linear start, unlike the maps inside the encoder."""
        return self.statistics(x)[0]

    def linear_samples(self, x: Tensor) -> Tensor:
        """Every block of the patches."""
        return F.pixel_unshuffle(x, self.factor).movedim(1, -1).flatten(0, 2)

    def start_from(self, components: PrincipalComponents, noise: float) -> None:
        """Set the linear parts from the principal components of blocks."""
        with torch.no_grad():
            self.posterior.bias[self.latent_channels :] = self.linear.start_from(components, noise)  # type: ignore[index]

    def linear_parameters(self) -> list[nn.Parameter]:
        """W, V and m."""
        return list(self.linear.parameters())

    def _blocks(self, x: Tensor) -> Tensor:
        return F.pixel_unshuffle(pad_to_multiple(x, self.factor), self.factor)


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _residual(width: int, blocks: int) -> list[nn.Module]:
    return [ResidualBlock(width) for _ in range(blocks)]
