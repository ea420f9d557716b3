"""The two bijections of grids that the condition takes part in."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .layers import convolution


class Injector(nn.Module):
    """y = x ⊙ exp(s) + t with s and t from the condition alone; log|det| = Σ s.

    What the condition says about the mean and the spread of every channel, without a detour through the other
    channels: the affine injector of SRFlow (Lugmayr et al. 2020, arXiv:2006.14200). s = c tanh(ŝ), |s| ≤ c.

    Args:
        clamp: c.
    """

    def __init__(self, clamp: float = 2.0) -> None:
        super().__init__()
        self.clamp = clamp

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """y (N, C, h, w) and log|det| (N,); parameters (N or 1, 2C, h, w)."""
        log_scale, shift = self._scale_and_shift(parameters)
        return torch.addcmul(shift, x, log_scale.exp()), log_scale.sum((1, 2, 3)).expand(len(x))

    def inverse(self, y: Tensor, parameters: Tensor) -> Tensor:
        """x = (y − t) ⊙ exp(−s)."""
        log_scale, shift = self._scale_and_shift(parameters)
        return (y - shift) / log_scale.exp()

    def _scale_and_shift(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = parameters.chunk(2, dim=1)
        return self.clamp * torch.tanh(log_scale), shift


class GridCoupling(nn.Module):
    """`AffineCoupling` on grids: y_b = x_b ⊙ exp(s) + t with (s, t) = CNN(x_a, context); log|det| = Σ s.

    The first half of the channels passes, the second is transformed; every s = c tanh(ŝ). The first convolution
    looks at a cell and its eight neighbours, the others at the cell alone, so a coupling reaches one cell far. The
    last one starts at zero. The context is added behind the first one and includes its bias.

    Args:
        channels: C, at least 2.
        hidden: width of the hidden layers.
        depth: number of hidden layers, at least 1.
        clamp: c.
        generator: draws the first weights.
    """

    def __init__(
        self, channels: int, *, hidden: int, depth: int = 2, clamp: float = 2.0, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.clamp = clamp
        self.split = (channels // 2, channels - channels // 2)
        self.first = convolution(self.split[0], hidden, bias=False, generator=generator)
        layers: list[nn.Module] = [nn.SiLU()]
        for _ in range(depth - 1):
            layers += [convolution(hidden, hidden, size=1, generator=generator), nn.SiLU()]
        last = convolution(hidden, 2 * self.split[1], size=1, generator=generator)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.rest = nn.Sequential(*layers, last)

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """y (N, C, h, w) and log|det| (N,); context (N or 1, hidden, h, w)."""
        passive, active = x.split(self.split, dim=1)
        log_scale, shift = self._scale_and_shift(passive, context)
        return torch.cat((passive, torch.addcmul(shift, active, log_scale.exp())), dim=1), log_scale.sum(
            (1, 2, 3)
        )

    def inverse(self, y: Tensor, context: Tensor) -> Tensor:
        """x with x_b = (y_b − t) ⊙ exp(−s)."""
        passive, active = y.split(self.split, dim=1)
        log_scale, shift = self._scale_and_shift(passive, context)
        return torch.cat((passive, (active - shift) / log_scale.exp()), dim=1)

    def _scale_and_shift(self, passive: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = self.rest(self.first(passive) + context).chunk(2, dim=1)
        return self.clamp * torch.tanh(log_scale), shift
