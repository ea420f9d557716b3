"""Images whose statistics are known, and layers whose gain is known: what every sample can be checked against."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from CTInvarianceLib.tensors import RINGS, Spectrum, filtered


def spectrum(peak: float = 0.15, deviation: float = 0.06) -> Spectrum:
    """A band like that of CT noise, and of its size in normalised units (30 HU)."""
    frequency = torch.linspace(0, math.sqrt(0.5), RINGS)
    power = 0.05 + frequency / peak * torch.exp(1 - frequency / peak)
    plane = Spectrum(power).on(64, 64)
    return Spectrum(power * deviation**2 / float(plane.mean()))


def texture(count: int, side: int, *, seed: int = 0, of: Spectrum | None = None) -> Tensor:
    """Stationary Gaussian images of that spectrum, periodic, (count, 1, side, side)."""
    white = torch.randn(count, 1, side, side, generator=torch.Generator().manual_seed(seed))
    return filtered(white, (of or spectrum()).on(side, side).sqrt())


class Filter(nn.Module):
    """A linear denoiser whose gain at every frequency is known: a periodic convolution.

    Args:
        gain: of a frequency's length in cycles per pixel.
        scale: of everything.
        copies: channels that z is copied into, and then averaged from.
    """

    LAYERS: ClassVar = {"1": "copy"}

    def __init__(self, gain=torch.ones_like, *, scale: float = 1.0, copies: int = 1) -> None:
        super().__init__()
        self.gain, self.scale = gain, scale
        self.copy = _Copy(copies)

    def plane(self, rows: int, columns: int) -> Tensor:
        """The transfer function on the half plane of `rfft2`."""
        f = torch.hypot(torch.fft.fftfreq(rows)[:, None], torch.fft.rfftfreq(columns))
        return self.scale * self.gain(f)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W), both."""
        return self.copy(filtered(x, self.plane(*x.shape[-2:]).to(x))).mean(1, keepdim=True)


class _Copy(nn.Module):
    def __init__(self, copies: int) -> None:
        super().__init__()
        self.copies = copies

    def forward(self, x: Tensor) -> Tensor:
        return x.expand(-1, self.copies, -1, -1) * 1.0


def blur(f: Tensor) -> Tensor:
    """Deletes what is finer than about five pixels, and lets the rest through more or less."""
    return torch.exp(-((f / 0.16) ** 4))
