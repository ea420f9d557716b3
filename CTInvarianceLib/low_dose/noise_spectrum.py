"""The noise power spectrum of CT, read from the flattest soft tissue of the images themselves.

NPS(f) = <|DFT(w (patch - trend))|^2> dx^2 / sum w^2, in HU^2 mm^2 over cycles per mm: M. F. Kijewski and P. F. Judy,
Phys Med Biol 32(5):565-575 (1987), doi:10.1088/0031-9155/32/5/003; trends and windows as compared by S. Dolly et
al., J Appl Clin Med Phys 17(3) (2016). Its integral over the plane is the variance of the noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base import VolumeError

LOWEST = 0.1  # cycles per mm: below it anatomy outweighs the noise, and trends and the choice of patches take from it
HIGHEST = 0.9  # of the Nyquist frequency: beyond it folded noise counts twice
FAINTEST = 0.01  # of the greatest power: what lies below is rounding to whole HU
LEAST_RINGS = 5
DEGREE = 4
SLOPE_OVER = 0.2  # cycles per mm above the lowest trusted frequency, from which the fit goes on below it

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NoiseSpectrum:
    """NPS(f), averaged over directions and patches.

    Attributes:
        frequency: f of each ring, cycles per mm, shape (n,), ascending.
        power: NPS, HU^2 mm^2, shape (n,).
        cells: independent frequencies that a ring averages over, shape (n,).
        pixel_mm: side of the pixels.
        lowest: the frequency below which the power is not that of the noise alone, cycles per mm.
    """

    frequency: Array
    power: Array
    cells: Array
    pixel_mm: float
    lowest: float = LOWEST

    def trusted(self) -> NDArray[np.bool_]:
        """The rings where noise dominates: above anatomy, below folding and rounding."""
        below = self.frequency <= HIGHEST * 0.5 / self.pixel_mm
        band = (self.frequency >= self.lowest) & below & (self.power > 0)
        return band & (self.power > FAINTEST * self.power[band].max(initial=0.0))

    def smooth(self, frequency: Array) -> Array:
        """NPS(f) = f exp(quartic in f), fitted to the trusted rings.

        NPS / f is constant above them. Below, it goes on as a Gaussian, exp(-b f^2), with the b that it has in the
        0.2 cycles per mm above: kernels are flat at 0.

        f times a smooth window squared is what filtered back-projection of white noise gives.

        Raises:
            VolumeError: fewer than 5 trusted rings.
        """
        ring = self.trusted()
        if np.count_nonzero(ring) < LEAST_RINGS:
            raise VolumeError(
                "The pixels are too wide to tell a noise spectrum", where=f"{self.pixel_mm:.2g} mm"
            )
        f, power = self.frequency[ring], self.power[ring]
        fit = np.polynomial.Polynomial.fit(f, np.log(power / f), DEGREE, w=np.sqrt(self.cells[ring]))
        further = min(f[0] + SLOPE_OVER, f[-1])
        b = max((fit(f[0]) - fit(further)) / (further**2 - f[0] ** 2), 0.0)
        below = f[0] ** 2 - np.minimum(frequency, f[0]) ** 2
        return np.asarray(frequency * np.exp(fit(np.clip(frequency, f[0], f[-1])) + b * below))

    def band(self) -> tuple[float, float]:
        """Lowest and highest trusted frequency, cycles per mm."""
        f = self.frequency[self.trusted()]
        return float(f[0]), float(f[-1])

    def peak(self) -> float:
        """The frequency at which `smooth` is greatest, cycles per mm: centre of its top tenth."""
        f = np.linspace(*self.band(), 512)
        power = self.smooth(f)
        top = power >= 0.9 * power.max()
        return float(np.average(f[top], weights=power[top]))


def patch_spectrum(patches: Array, pixel_mm: float) -> NoiseSpectrum:
    """The mean spectrum of patches (n, size, size) that have no trend, in rings one bin wide."""
    frequency, power, cells = ring_powers(patches, pixel_mm)
    return NoiseSpectrum(frequency, power.mean(0), cells, pixel_mm)


def ring_powers(patches: Array, pixel_mm: float) -> tuple[Array, Array, Array]:
    """The spectrum of each of the patches (n, size, size), in rings one bin wide.

    Returns:
        Frequency of the rings (rings,), power of each patch (n, rings), cells of the rings (rings,).
    """
    size = patches.shape[-1]
    hann = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
    window = np.outer(hann, hann)
    power = np.abs(np.fft.rfft2(patches * window)) ** 2 * (pixel_mm**2 / (window**2).sum())
    f = np.hypot(np.fft.fftfreq(size, pixel_mm)[:, None], np.fft.rfftfreq(size, pixel_mm))
    twice = np.ones_like(f)
    twice[:, 1 : (size + 1) // 2] = 2  # the half plane that a real transform leaves out
    ring = np.rint(f * size * pixel_mm).astype(int)
    member = twice * (ring == np.arange(1, size // 2 + 1)[:, None, None])
    share = member.reshape(len(member), -1)
    cells = share.sum(1)
    return share @ f.ravel() / cells, power.reshape(len(power), -1) @ share.T / cells, cells


def detrended(patches: NDArray[Any]) -> Array:
    """Patches (n, size, size) less their best polynomials of second order in x and y."""
    size = patches.shape[-1]
    y, x = np.mgrid[:size, :size] / size - 0.5
    basis = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y]).reshape(6, -1).T
    q = np.linalg.qr(basis)[0]
    flat = patches.reshape(len(patches), size * size).astype(np.float64)
    return np.asarray(flat - (flat @ q) @ q.T).reshape(patches.shape)
