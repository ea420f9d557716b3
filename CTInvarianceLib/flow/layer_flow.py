"""The flow of one layer: t(z̄ given z) for the spatial representation z of a denoiser's layer."""

from __future__ import annotations

from torch import Tensor, nn

from CTInvarianceLib.flow.block_pca import BlockPCA
from CTInvarianceLib.flow.conditional_flow import ConditionalFlow
from CTInvarianceLib.flow.regression import LatentRegression


class LayerFlow(nn.Module):
    """v = t(z̄ − m(h) given h) with h = stem(z).

    The shift m(h) is the linear part of what z tells about z̄; it is known in closed form, its determinant is 1,
    and the flow that follows has only the rest to learn.

    Args:
        stem: (N, C, H, W) -> h (N, k, H/8, W/8); fitted before the rest, so h can be computed once and kept.
        regression: m.
        flow: conditioned on h.
    """

    stem: BlockPCA
    regression: LatentRegression
    flow: ConditionalFlow

    def __init__(self, stem: BlockPCA, regression: LatentRegression, flow: ConditionalFlow) -> None:
        super().__init__()
        self.stem, self.regression, self.flow = stem, regression, flow

    def forward(self, latent: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """v (N, d) and log|det ∂v/∂z̄| (N,) in nats, for z̄ (N, d) and z (N or 1, C, H, W)."""
        h = self.stem(z)
        v, log_det = self.flow(latent - self.regression(h), h)
        return v, log_det

    def inverse(self, v: Tensor, z: Tensor) -> Tensor:
        """z̄ (N, d) for v (N, d) and z (N or 1, C, H, W)."""
        h = self.stem(z)
        return self.flow.inverse(v, h) + self.regression(h)

    def log_prob(self, latent: Tensor, z: Tensor) -> Tensor:
        """log p(z̄ given z), (N,), nats."""
        h = self.stem(z)
        return self.flow.log_prob(latent - self.regression(h), h)
