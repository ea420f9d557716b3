"""Critics of WGANs: that of Yang et al., for patches of one size, and one for images of any size."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..base import ConfigError
from ..models import require_weights


class Critic(nn.Module):
    """Pairs of 3×3 convolutions, the second of each with stride 2, then two fully connected layers.

    Yang et al. 2018 (doi:10.1109/TMI.2018.2827462), with `width` 64 and three pairs; no padding, leaky ReLU.

    Args:
        patch_size: pixels of the patches' sides.
        width: filters of the first pair; doubled in every further one, four times `width` at most.
        pairs: how often the resolution is halved.
        hidden: units of the fully connected layer.
        seed: of the first weights.
    """

    def __init__(
        self, patch_size: int, width: int = 64, pairs: int = 3, hidden: int = 1024, *, seed: int = 0
    ) -> None:
        super().__init__()
        require_weights(
            self.weights(patch_size, width, pairs, hidden), "critic", "critic_width or patch_size"
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._build(patch_size, width, pairs, hidden)

    @staticmethod
    def weights(patch_size: int, width: int, pairs: int, hidden: int) -> int:
        """How many there will be, about."""
        channels = width * min(2 ** (pairs - 1), 4)
        return channels * (patch_size >> pairs) ** 2 * hidden + 27 * channels**2

    def _build(self, patch_size: int, width: int, pairs: int, hidden: int) -> None:
        modules: list[nn.Module] = []
        c_in, size = 1, patch_size
        for pair in range(pairs):
            c_out = width * min(2**pair, 4)
            for stride, channels in ((1, c_in), (2, c_out)):
                modules += [nn.Conv2d(channels, c_out, 3, stride), nn.LeakyReLU()]
                size = (size - 3) // stride + 1
            c_in = c_out
        if size < 1:
            raise ConfigError(f"a patch of {patch_size} pixels is too small for a critic of {pairs} pairs")
        self.features = nn.Sequential(*modules)
        self.score = nn.Sequential(
            nn.Flatten(), nn.Linear(c_in * size * size, hidden), nn.LeakyReLU(), nn.Linear(hidden, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Score normalised patches: (N, 1, H, W) -> (N, 1)."""
        score: Tensor = self.score(self.features(x))
        return score


class PatchCritic(nn.Module):
    """The mean score of many overlapping pieces of an image of any size: PatchGAN, as MONAI builds it.

    Isola et al. 2017, arXiv:1611.07004; instance normalisation, as a gradient penalty needs images scored one by one.

    Args:
        width: filters of the first convolution; doubled in every further one.
        halvings: how often the resolution is halved; 2: pieces of 34×34 pixels.
        seed: of the first weights.
    """

    def __init__(self, width: int = 16, halvings: int = 2, *, seed: int = 0) -> None:
        super().__init__()
        from monai.networks.nets import PatchDiscriminator

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.pieces = PatchDiscriminator(
                spatial_dims=2, channels=width, in_channels=1, num_layers_d=halvings, norm="INSTANCE"
            )

    def forward(self, x: Tensor) -> Tensor:
        """Score normalised images: (N, 1, H, W) -> (N, 1)."""
        scores: Tensor = self.pieces(x)[-1]
        return scores.mean((2, 3))
