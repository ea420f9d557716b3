"""From the components of a representation to the condition vector of the flow."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base import ConfigError
from .layers import convolution, linear


class ConditionNetwork(nn.Module):
    """Components (N, k, h, w) to the condition vector (N, c): two residual stages of stride 2, then linear.

    Args:
        channels: k.
        grid: (h, w), each at least 4.
        out: c.
        width: channels of the residual stages.
        seed: fixes the first weights.

    Raises:
        ConfigError: a size that is not possible.
    """

    def __init__(
        self,
        channels: int,
        grid: tuple[int, int] = (16, 16),
        out: int = 128,
        width: int = 64,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if min(channels, out, width) < 1 or min(grid) < 4:
            raise ConfigError("channels, out and width must be positive and grid at least 4x4", where=grid)
        generator = torch.Generator().manual_seed(seed)
        self.channels, self.grid = channels, tuple(grid)
        cells = -(-grid[0] // 4) * -(-grid[1] // 4)
        self.layers = nn.Sequential(
            convolution(channels, width, generator=generator),
            ResidualStage(width, generator=generator),
            ResidualStage(width, generator=generator),
            nn.SiLU(),
            nn.Flatten(),
            linear(width * cells, out, generator=generator),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Condition (N, c); ConfigError where the features are not (N, k, h, w)."""
        if features.ndim != 4 or tuple(features.shape[1:]) != (self.channels, *self.grid):
            raise ConfigError(
                f"features must be (N, {self.channels}, {self.grid[0]}, {self.grid[1]})",
                where=tuple(features.shape),
            )
        condition: Tensor = self.layers(features)
        return condition


class ResidualStage(nn.Module):
    """y = pool(x) + conv(act(conv(act(x)))), half the height and width (He et al., arXiv:1603.05027)."""

    def __init__(self, width: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.reduce = convolution(width, width, stride=2, generator=generator)
        self.mix = convolution(width, width, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, ⌈h/2⌉, ⌈w/2⌉)."""
        residual = self.mix(F.silu(self.reduce(F.silu(x))))
        return F.avg_pool2d(x, 2, ceil_mode=True) + residual
