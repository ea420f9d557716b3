"""Layers that the encoders and decoders are made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LOG_VARIANCE = (-12.0, 2.0)
"""Bounds of log σ² of every posterior: σ lies between e^-6 and e."""


class ResidualBlock(nn.Module):
    """x + conv(silu(conv(silu(x)))); the identity at the start (last convolution zero)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        start_at_zero(self.second)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W), both."""
        return x + torch.as_tensor(self.second(F.silu(self.first(F.silu(x)))))


def start_at_zero(layer: nn.Module) -> None:
    """Set all parameters of a layer to zero: what it adds is learned from nothing."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
