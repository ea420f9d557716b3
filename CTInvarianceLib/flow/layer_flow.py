"""The flow of one layer: t(z̄ given z) for the spatial representation z of a denoiser's layer."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..tensors import pad_to
from .block_pca import BlockPCA
from .interface import Flow


class LayerFlow(nn.Module):
    """v = t(z̄ − m(h) given h) with h = stem(z), for vector latents and for grids.

    The shift m(h) is the linear part of what z tells about z̄; it is known in closed form, its determinant is 1,
    and the flow that follows has only the rest to learn.

    Args:
        stem: (N, C, H, W) -> h; fitted before the rest, so h can be computed once and kept.
        regression: m, a `LatentRegression` or a `GridRegression`.
        flow: conditioned on h.
        enlarge: how many times finer the latent's grid is than z; 1 where it is as fine or coarser.
    """

    stem: BlockPCA
    regression: nn.Module
    flow: Flow

    def __init__(self, stem: BlockPCA, regression: nn.Module, flow: Flow, *, enlarge: int = 1) -> None:
        super().__init__()
        self.stem, self.regression, self.flow, self.enlarge = stem, regression, flow, enlarge

    def condition(self, z: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        """h of z (N, C, H, W); for a grid (rows, columns), z is continued to where that grid ends."""
        if grid is not None:
            z = pad_to(z, *(side // self.enlarge * self.stem.block for side in grid))
        h: Tensor = self.stem(z)
        return h if self.enlarge == 1 else F.interpolate(h, scale_factor=self.enlarge, mode="nearest")

    def forward(self, latent: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """v like z̄ and log|det ∂v/∂z̄| (N,) in nats, for z̄ (N, …) and z (N or 1, C, H, W)."""
        h = self._on_grid_of(latent, z)
        v, log_det = self.flow(latent - self.regression(h), h)
        return v, log_det

    def inverse(self, v: Tensor, z: Tensor) -> Tensor:
        """z̄ like v, for v (N, …) and z (N or 1, C, H, W)."""
        return self.inverse_given(v, self._on_grid_of(v, z))

    def inverse_given(self, v: Tensor, h: Tensor) -> Tensor:
        """`inverse`, for a condition that has been computed already."""
        return self.flow.inverse(v, h) + self.regression(h)

    def log_prob(self, latent: Tensor, z: Tensor) -> Tensor:
        """log p(z̄ given z), (N,), nats."""
        h = self._on_grid_of(latent, z)
        return self.flow.log_prob(latent - self.regression(h), h)

    def _on_grid_of(self, latent: Tensor, z: Tensor) -> Tensor:
        grid = (latent.shape[2], latent.shape[3]) if latent.ndim == 4 else None
        return self.condition(z, grid)
