"""The flow of one layer: t(z̄ given z) for the spatial representation z of a denoiser's layer."""

from __future__ import annotations

from torch import Tensor, nn

from CTInvarianceLib.flow.block_pca import BlockPCA
from CTInvarianceLib.flow.conditional_flow import ConditionalFlow


class LayerFlow(nn.Module):
    """A frozen stem that makes z small, and a conditional flow with a condition network behind it.

    Args:
        stem: (N, C, H, W) -> (N, k, H/8, W/8); fitted before the flow, its output may be kept.
        flow: conditioned on the stem's output.
    """

    stem: BlockPCA
    flow: ConditionalFlow

    def __init__(self, stem: BlockPCA, flow: ConditionalFlow) -> None:
        super().__init__()
        self.stem, self.flow = stem, flow

    def forward(self, latent: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """v (N, d) and log|det ∂v/∂z̄| (N,) in nats, for z̄ (N, d) and z (N or 1, C, H, W)."""
        v, log_det = self.flow(latent, self.stem(z))
        return v, log_det

    def inverse(self, v: Tensor, z: Tensor) -> Tensor:
        """z̄ (N, d) for v (N, d) and z (N or 1, C, H, W)."""
        return self.flow.inverse(v, self.stem(z))
