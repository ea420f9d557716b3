"""The generator of Yang et al. (WGAN-VGG)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn


class Yang(nn.Module):
    """
    Eight 3×3 convolutions, 32 filters each and 1 at the end, ReLU between.

    Yang et al., "Low-dose CT image denoising using a generative adversarial network with Wasserstein
    distance and perceptual loss", IEEE TMI 37(6), 2018, doi:10.1109/TMI.2018.2827462. Input and output are
    normalised images, (N, 1, H, W). Parameter names as in ldct-benchmark.
    """

    LAYERS: ClassVar[dict[str, str]] = {str(i + 1): f"net.{2 * i}" for i in range(8)}

    def __init__(self) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        for c_in, c_out in zip([1] + [32] * 7, [32] * 7 + [1], strict=True):
            modules += [nn.Conv2d(c_in, c_out, 3, padding=1), nn.ReLU()]
        self.net = nn.Sequential(*modules[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """Denoise normalised images, (N, 1, H, W)."""
        y: Tensor = self.net(x)
        return y
