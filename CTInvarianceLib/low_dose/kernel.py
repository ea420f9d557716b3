"""The reconstruction kernel: how filtered back-projection attenuates high frequencies, and with them the noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .noise_spectrum import NoiseSpectrum

SOFT_CUTOFF = 0.75  # cycles per mm: noise spectrum as of B30f to B40f, peak at 0.23 / mm
_WIDEST = 1.3  # of the pixels' Nyquist frequency: kernels of wide pixels end there
_TAIL = 1.35  # of the highest frequency that was measured: a measured kernel ends there
_POINTS = 257

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Kernel:
    """The window W(f) that multiplies the ramp; H(f) = |f| W(f), and noise of white rays has NPS = |H|^2 / f.

    Attributes:
        frequency: cycles per mm, shape (n,), ascending from 0; W is 0 beyond the last.
        response: W, shape (n,), 1 at frequency 0.
    """

    frequency: Array
    response: Array

    @classmethod
    def hann(cls, cutoff: float) -> Kernel:
        """W(f) = cos^2(pi f / (2 cutoff)), 0 from the cutoff (cycles per mm) on."""
        f = np.linspace(0, cutoff, _POINTS)
        return cls(f, np.cos(math.pi / 2 * f / cutoff) ** 2)

    @classmethod
    def soft(cls, pixel_mm: float) -> Kernel:
        """The kernel where nothing is known: Hann, as soft-tissue kernels, narrower where pixels are wide."""
        return cls.hann(min(SOFT_CUTOFF, _WIDEST * 0.5 / pixel_mm))

    @classmethod
    def of_noise(cls, spectrum: NoiseSpectrum) -> Kernel:
        """The kernel whose noise has this spectrum: W(f)^2 = NPS(f) / f, with a Hann tail beyond what was measured.

        Raises:
            VolumeError: as `NoiseSpectrum.smooth`.
        """
        _, last = spectrum.band()
        f = np.linspace(0, _TAIL * last, _POINTS)
        inside = np.clip(f, 1e-3, last)
        window = np.sqrt(spectrum.smooth(inside) / inside)
        tail = np.clip((f - last) / (f[-1] - last), 0, 1)
        return cls(f, window / window[0] * np.cos(math.pi / 2 * tail) ** 2)

    def window(self, frequency: Tensor) -> Tensor:
        """W at frequencies in cycles per mm, linearly interpolated; same shape, type and device."""
        step = self.frequency[-1] / (len(self.frequency) - 1)
        table = torch.as_tensor(np.append(self.response, [0.0, 0.0])).to(frequency)
        position = (frequency / step).clamp(max=len(self.response))
        left = position.floor()
        return torch.lerp(table[left.long()], table[left.long() + 1], position - left)

    def power(self) -> float:
        """The integral of H(f)^2 over both signs of f, per mm^3."""
        return float(2 * np.trapezoid((self.frequency * self.response) ** 2, self.frequency))

    def bandwidth(self) -> float:
        """The frequency below which 95 % of the noise's power lies, cycles per mm."""
        power = (self.frequency * self.response) ** 2
        share = np.cumsum(power) / power.sum()
        return float(np.interp(0.95, share, self.frequency))
