"""The reconstruction kernel: how filtered back-projection attenuates high frequencies, and with them the noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .noise_spectrum import LEAST_RINGS, NoiseSpectrum

SOFT_CUTOFF = 0.75  # cycles per mm: noise spectrum as of B30f to B40f, peak at 0.23 / mm
_WIDEST = 1.3  # of the pixels' Nyquist frequency: kernels of wide pixels end there
_TAIL = 1.35  # of the highest frequency that was measured: a measured kernel ends there
_POINTS = 257
_NEAR_0 = 1e-3  # cycles per mm
_ANCHOR = 0.2  # cycles per mm

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Kernel:
    """The window W(f) that multiplies the ramp; H(f) = |f| W(f), and noise of white rays has NPS = |H|^2 / f.

    Attributes:
        frequency: cycles per mm, shape (n,), ascending from 0; W is 0 beyond the last.
        response: W, about 1 at frequency 0; shape (n,), or (slices, n) where every slice has its own.
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

        W(0) = 1 is told from 0.2 cycles per mm on: what is left of anatomy below would make W steeper, and with it
        the photons too few that explain the noise.

        Raises:
            VolumeError: as `NoiseSpectrum.smooth`.
        """
        _, last = spectrum.band()
        f = np.linspace(0, _TAIL * last, _POINTS)
        inside = np.clip(f, _NEAR_0, last)
        window = np.sqrt(spectrum.smooth(inside) / inside)
        tail = np.clip((f - last) / (f[-1] - last), 0, 1)
        return cls(f, window / _window_at_0(spectrum) * np.cos(math.pi / 2 * tail) ** 2)

    @classmethod
    def mean(cls, kernels: Sequence[Kernel]) -> Kernel:
        """The kernel in the middle of some: the mean of their windows."""
        f, table = _on_one_grid(kernels)
        return cls(f, table.mean(0))

    @classmethod
    def along(cls, kernels: Sequence[Kernel], position: Array) -> Kernel:
        """The kernels of slices, linearly interpolated between given ones.

        Args:
            kernels: at 0, 1, 2 ...
            position: of each slice among them, shape (slices,).
        """
        f, table = _on_one_grid(kernels)
        left = np.clip(position.astype(int), 0, max(len(kernels) - 2, 0))
        right = np.minimum(left + 1, len(kernels) - 1)
        weight = np.clip(position - left, 0, 1)[:, None]
        return cls(f, (1 - weight) * table[left] + weight * table[right])

    def of_slices(self, chosen: slice | NDArray[np.intp]) -> Kernel:
        """The kernel of some of the slices."""
        return self if self.response.ndim == 1 else Kernel(self.frequency, self.response[chosen])

    def window(self, frequency: Tensor) -> Tensor:
        """W at frequencies (n,) in cycles per mm, linearly interpolated; (n,) or (slices, 1, n)."""
        step = self.frequency[-1] / (len(self.frequency) - 1)
        padded = np.pad(self.response, [(0, 0)] * (self.response.ndim - 1) + [(0, 2)])
        table = torch.as_tensor(padded).to(frequency)
        position = (frequency / step).clamp(max=self.response.shape[-1])
        left = position.floor()
        index = left.long()
        found = torch.lerp(table[..., index], table[..., index + 1], position - left)
        return found if found.ndim == 1 else found[:, None]

    def power(self) -> Array:
        """The integral of H(f)^2 over both signs of f, per mm^3; shape () or (slices,)."""
        return np.asarray(2 * np.trapezoid((self.frequency * self.response) ** 2, self.frequency))

    def bandwidth(self) -> float:
        """The frequency below which 95 % of the noise's power lies, cycles per mm; the greatest of all slices."""
        power = np.atleast_2d((self.frequency * self.response) ** 2)
        share = power.cumsum(1) / power.sum(1, keepdims=True)
        return max(float(np.interp(0.95, each, self.frequency)) for each in share)


def _on_one_grid(kernels: Sequence[Kernel]) -> tuple[Array, Array]:
    """Frequencies (n,) up to the highest of some kernels, and their windows (kernels, n) there."""
    f = max((kernel.frequency for kernel in kernels), key=lambda frequency: float(frequency[-1]))
    return f, np.stack([np.interp(f, kernel.frequency, kernel.response, right=0.0) for kernel in kernels])


def _window_at_0(spectrum: NoiseSpectrum) -> float:
    """W at frequency 0, on the scale of the spectrum, as what lies above 0.2 cycles per mm tells it, or else all."""
    above = replace(spectrum, lowest=max(spectrum.lowest, _ANCHOR))
    told = above if np.count_nonzero(above.trusted()) >= LEAST_RINGS else spectrum
    near_0 = np.array([_NEAR_0])
    return math.sqrt(min(one.smooth(near_0).item() for one in (told, spectrum)) / _NEAR_0)
