"""How far a pixel reaches through a denoiser: what a region's representation needs of its surroundings."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .cut import representation

_LOCAL = (
    nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SiLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.Softplus,
    nn.Identity, nn.Dropout, nn.BatchNorm2d,
)  # fmt: skip
_SIDE, _TOLERANCE = 24, 1e-4


def reach(denoiser: nn.Module, layer: str) -> int | None:
    """Pixels beyond a region that its representation z depends on; None: it may depend on the whole image.

    The sum of what all convolutions reach, an upper bound, for networks of convolutions of stride 1 and pointwise
    layers. That nothing else happens in `forward` is tried out on an image and a part of it.
    """
    pixels = 0
    for module in denoiser.modules():
        if isinstance(module, nn.Conv2d):
            if module.stride != (1, 1) or not _keeps_size(module):
                return None
            pixels += max(d * (k // 2) for d, k in zip(module.dilation, module.kernel_size, strict=True))
        elif not isinstance(module, _LOCAL) and not list(module.children()):
            return None
    return pixels if _is_local(denoiser, layer, pixels) else None


def _keeps_size(convolution: nn.Conv2d) -> bool:
    padding = convolution.padding
    if convolution.padding_mode != "zeros" or isinstance(padding, str):
        return convolution.padding_mode == "zeros" and padding == "same"
    sizes = zip(convolution.kernel_size, convolution.dilation, padding, strict=True)
    return all(k % 2 == 1 and p == d * (k // 2) for k, d, p in sizes)


@torch.no_grad()
def _is_local(denoiser: nn.Module, layer: str, pixels: int) -> bool:
    """Whether a part of an image has the image's own z, except along the border that was cut."""
    like = next(denoiser.parameters(), torch.empty(0))
    side = _SIDE + 2 * pixels + 1
    noise = torch.randn(1, 1, side, side, generator=torch.Generator().manual_seed(0)).to(like)
    # The extremes lie where the part is cut off: a normalisation by them would not go unnoticed.
    noise[..., 0, ::2], noise[..., 1::2, 0] = 9, -9
    whole, part = representation(denoiser, noise, layer), representation(denoiser, noise[..., 1:, 1:], layer)
    if whole.shape[2:] != noise.shape[2:] or part.shape[2:] != (side - 1, side - 1):
        return False
    inner: Tensor = whole[..., 1 + pixels :, 1 + pixels :]
    scale = float(inner.abs().max()) or 1.0
    return bool((part[..., pixels:, pixels:] - inner).abs().max() <= _TOLERANCE * scale)
