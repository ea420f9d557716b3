"""What an image is first taken to be, from its representation alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..base import LayerError
from ..denoisers import layers, remainder, representation

Start = Callable[[Tensor], Tensor]
"""z of a window (N, C, h, w) -> an image (N, 1, H, W)."""


def start_of(denoiser: nn.Module, layer: str) -> Start:
    """Ψ; or a constant image where z alone does not determine the output, as with a connection that passes it by."""
    last = layers(denoiser)[-1]
    probe = next(denoiser.parameters(), torch.empty(0)).new_zeros(1, 1, 64, 64)
    with torch.no_grad():
        z = representation(denoiser, probe, layer)
        if layer == last and z.shape == probe.shape:
            return lambda z: z
        stride = 64 // z.shape[-1]
        try:
            remainder(denoiser, z, layer)
        except LayerError:
            return lambda z: z.new_zeros(len(z), 1, z.shape[-2] * stride, z.shape[-1] * stride)
    return lambda z: remainder(denoiser, z, layer)
