"""The bijections without a network: activation normalisation and fixed permutation.

Every bijection maps rows x (N, d) to rows y (N, d): `forward(x)` gives y and log|det ∂y/∂x| in nats, (N,);
`inverse(y)` gives x.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

STD_FLOOR = 1e-6
"""A dimension whose standard deviation is below this counts as constant."""


class ActNorm(nn.Module):
    """y = exp(ℓ) ⊙ x + b, one ℓ and one b per dimension; log|det| = Σ ℓ.

    Starts as the identity. `initialise` sets ℓ and b so that a batch leaves with mean 0 and variance 1;
    they are ordinary parameters before and after. Kingma & Dhariwal, Glow, 2018, arXiv:1807.03039.

    Args:
        features: number of dimensions d.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(features))
        self.shift = nn.Parameter(torch.zeros(features))

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Sets scale and shift from a batch (N, d).

        A constant dimension says nothing about its scale: it is centred and keeps scale 1.
        """
        std, mean = torch.std_mean(x, dim=0, correction=0)
        self.log_scale.copy_(-torch.where(std > STD_FLOOR, std, 1.0).log())
        self.shift.copy_(-mean * self.log_scale.exp())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """y (N, d) and log|det| (N,)."""
        y = torch.addcmul(self.shift, x, self.log_scale.exp())
        return y, self.log_scale.sum().expand(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """x = exp(-ℓ) ⊙ (y - b)."""
        return (y - self.shift) / self.log_scale.exp()


class Permutation(nn.Module):
    """y_i = x_π(i) with a fixed random π, which is saved with the weights; log|det| = 0.

    Args:
        features: number of dimensions d.
        generator: draws π.
    """

    order: Tensor
    inverse_order: Tensor

    def __init__(self, features: int, *, generator: torch.Generator) -> None:
        super().__init__()
        order = torch.randperm(features, generator=generator)
        self.register_buffer("order", order)
        self.register_buffer("inverse_order", order.argsort())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """y (N, d) and zeros (N,)."""
        return x.index_select(1, self.order), x.new_zeros(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """x with x_π(i) = y_i."""
        return y.index_select(1, self.inverse_order)
