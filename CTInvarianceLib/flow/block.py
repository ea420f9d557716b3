"""One step of the flow."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .bijections import ActNorm, Permutation
from .coupling import AffineCoupling, Half


class FlowBlock(nn.Module):
    """Activation normalisation, affine coupling and, where it permutes, a fixed permutation, in this order.

    Kingma & Dhariwal, Glow, 2018, arXiv:1807.03039, with a permutation in place of the 1x1 convolution.

    Args:
        permutes: whether a permutation follows the coupling; the others as for `AffineCoupling`.
    """

    def __init__(
        self,
        features: int,
        *,
        hidden: int,
        depth: int = 2,
        clamp: float = 2.0,
        transforms: Half = "second",
        permutes: bool = True,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.normalisation = ActNorm(features)
        self.coupling = AffineCoupling(
            features, hidden=hidden, depth=depth, clamp=clamp, transforms=transforms, generator=generator
        )
        self.permutation = Permutation(features, generator=generator) if permutes else None

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """y (N, d) and log|det| (N,) in nats; context (N, hidden) or (1, hidden)."""
        x, scaling = self.normalisation(x)
        x, coupling = self.coupling(x, context)
        if self.permutation is not None:
            x, _ = self.permutation(x)
        return x, scaling + coupling

    def inverse(self, y: Tensor, context: Tensor) -> Tensor:
        """x with forward(x, context) = y."""
        if self.permutation is not None:
            y = self.permutation.inverse(y)
        return self.normalisation.inverse(self.coupling.inverse(y, context))
