"""The part of an embedding that is known in closed form."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..tensors import PrincipalComponents
from .blocks import LOG_VARIANCE


class LinearVAE(nn.Module):
    """μ = W(x − m), x̄ = m + V z̄ for rows x of p pixels: the optimum of a linear VAE is probabilistic PCA.

    Tipping & Bishop 1999, doi:10.1111/1467-9868.00196; Lucas et al. 2019, arXiv:1911.02469.

    Args:
        pixels: p.
        latent_dim: d.
    """

    def __init__(self, pixels: int, latent_dim: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(pixels))
        self.project = nn.Parameter(torch.zeros(latent_dim, pixels))
        self.expand = nn.Parameter(torch.zeros(latent_dim, pixels))

    def start_from(self, components: PrincipalComponents, noise: float) -> Tensor:
        """Set W, V and m; log σ² (d,) of the posterior where `noise` is the deviation that z̄ need not tell."""
        scale = components.variances.clamp_min(1e-12).sqrt()[:, None]
        with torch.no_grad():
            self.mean.copy_(components.mean)
            self.project.copy_(components.directions / scale)
            self.expand.copy_(components.directions * scale)
        return 2 * torch.log(noise / scale[:, 0]).clamp(max=0).clamp(*LOG_VARIANCE)
