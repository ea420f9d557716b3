"""The three-layer CNN of Chen et al."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from ..base import ConfigError

_LARGEST_KERNEL = 31  # an even one would change the size of the image


class Chen(nn.Module):
    """
    conv k9 f64 – ReLU – conv k3 f32 – ReLU – conv k f1.

    Chen et al., "Low-dose CT denoising with convolutional neural network", ISBI 2017,
    doi:10.1109/ISBI.2017.7950488. Input and output are normalised images, (N, 1, H, W).

    Args:
        last_kernel: 3 as on the slides, or 5 as in ldct-benchmark's CNN-10, whose parameter names this has.
    """

    LAYERS: ClassVar[dict[str, str]] = {"1": "layers.0", "3": "layers.2", "5": "layers.4"}

    def __init__(self, last_kernel: int = 3) -> None:
        super().__init__()
        if last_kernel not in range(1, _LARGEST_KERNEL + 1, 2):
            raise ConfigError(
                f"a kernel of {last_kernel} pixels is not possible",
                where="chen, last_kernel",
                hint=f"Take an odd number up to {_LARGEST_KERNEL}: 3 as on the slides, or 5.",
            )
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(1, 64, 9, padding=4),
                nn.ReLU(),
                nn.Conv2d(64, 32, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(32, 1, last_kernel, padding=last_kernel // 2),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        """Denoise normalised images, (N, 1, H, W)."""
        for layer in self.layers:
            x = layer(x)
        return x


class Identity(nn.Module):
    """A denoiser that changes nothing: the negative control, which has no invariances at all."""

    LAYERS: ClassVar[dict[str, str]] = {"1": "same"}

    def __init__(self) -> None:
        super().__init__()
        self.same = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return normalised images, (N, 1, H, W), as they are."""
        return torch.as_tensor(self.same(x))
