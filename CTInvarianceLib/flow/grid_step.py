"""One step of the convolutional flow."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .grid_coupling import GridCoupling, Injector
from .mixing import ChannelMixing


class GridStep(nn.Module):
    """Channel mixing, injector and affine coupling, in this order; arguments as for `GridCoupling`."""

    def __init__(
        self, channels: int, *, hidden: int, depth: int = 2, clamp: float = 2.0, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.mixing = ChannelMixing(channels, generator=generator)
        self.injector = Injector(clamp)
        self.coupling = GridCoupling(channels, hidden=hidden, depth=depth, clamp=clamp, generator=generator)

    def forward(self, x: Tensor, context: Tensor, parameters: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """y (N, C, h, w) and log|det| (N,); see `LevelContext` for the other arguments."""
        x, log_det = self.mixing(x)
        if parameters is not None:
            x, injected = self.injector(x, parameters)
            log_det = log_det + injected
        x, coupled = self.coupling(x, context)
        return x, log_det + coupled

    def inverse(self, y: Tensor, context: Tensor, parameters: Tensor | None = None) -> Tensor:
        """x with forward(x, context, parameters) = y."""
        y = self.coupling.inverse(y, context)
        if parameters is not None:
            y = self.injector.inverse(y, parameters)
        return self.mixing.inverse(y)
