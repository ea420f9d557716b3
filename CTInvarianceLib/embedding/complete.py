"""The default embedding: as many numbers as pixels, and nothing lost."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..base import ConfigError
from ..tensors import PrincipalComponents, pad_to_multiple
from .interface import Embedding
from .linear import LinearVAE

_ROUNDING_LOG_VARIANCE = -15.0  # of whitened components: what rounding of HU leaves open


class CompleteEmbedding(Embedding):
    """z̄ = W(u − m), x̄ = m + W⁻¹ z̄ for blocks u of f×f pixels, with W the whitening principal components.

    D(E(x)) is x but for rounding, at every frequency: no sample is smoother than the image, and what samples differ
    by is never an error of the embedding. Nothing but the components is learned. See decision 13.

    Args:
        patch_size: pixels of the training patches' sides, a multiple of `factor`.
        factor: f, pixels of a cell's sides.

    Raises:
        ConfigError: a size that is not possible.
    """

    kind = "complete"
    fixed_size = False
    closed_form = True
    guided = False
    radius = 0

    def __init__(self, patch_size: int = 128, factor: int = 4) -> None:
        super().__init__()
        if factor < 1 or patch_size % factor or patch_size < 4 * factor:
            raise ConfigError(
                f"a patch of {patch_size} pixels does not fit",
                hint=f"Take a multiple of {factor}, {4 * factor} or more.",
            )
        self.patch_size, self.factor, self.latent_channels = patch_size, factor, factor**2
        self.linear = LinearVAE(factor**2, factor**2)

    def latent_shape_of(self, rows: int, columns: int) -> tuple[int, ...]:
        """(f², ⌈rows/f⌉, ⌈columns/f⌉)."""
        return self.latent_channels, -(-rows // self.factor), -(-columns // self.factor)

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Z̄ and log σ², (N, f², ⌈H/f⌉, ⌈W/f⌉) each; sides that do not divide are continued."""
        blocks = F.pixel_unshuffle(pad_to_multiple(x, self.factor), self.factor)
        weight, mean = self.linear.project[:, :, None, None], self.linear.mean[:, None, None]
        latent = F.conv2d(blocks - mean, weight)
        return latent, torch.full_like(latent, _ROUNDING_LOG_VARIANCE)

    def decode(self, latent: Tensor, guide: Tensor | None = None) -> Tensor:
        """(N, f², h, w) -> (N, 1, f·h, f·w)."""
        blocks = F.conv2d(latent, self.linear.expand.T[:, :, None, None], self.linear.mean)
        return F.pixel_shuffle(blocks, self.factor)

    def features(self, x: Tensor) -> Tensor:
        """The leading half of z̄, (N, f²/2, ⌈H/f⌉, ⌈W/f⌉): of unit variance; the rest of it is mostly noise."""
        return self.statistics(x)[0][:, : max(1, self.latent_channels // 2)]

    def linear_samples(self, x: Tensor) -> Tensor:
        """Every block of the patches."""
        return F.pixel_unshuffle(x, self.factor).movedim(1, -1).flatten(0, 2)

    def start_from(self, components: PrincipalComponents, noise: float) -> None:
        """Set W, V = W⁻¹ and m."""
        self.linear.start_from(components, noise)

    def linear_parameters(self) -> list[nn.Parameter]:
        """W, V and m."""
        return list(self.linear.parameters())
