"""The noise power spectrum of CT, read from the flattest soft tissue of the images themselves.

NPS(f) = <|DFT(w (patch - trend))|^2> dx^2 / sum w^2, in HU^2 mm^2 over cycles per mm: M. F. Kijewski and P. F. Judy,
Phys Med Biol 32(5):565-575 (1987), doi:10.1088/0031-9155/32/5/003; trends and windows as compared by S. Dolly et
al., J Appl Clin Med Phys 17(3) (2016). Its integral over the plane is the variance of the noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base import VolumeError
from .noise_level import LEAST_NOISE_HU, SMOOTHING_MM, SOFT_TISSUE_HU

PATCH_MM = 24.0  # fits into liver, muscle and brain; resolves 0.06 cycles per mm
LEAST_PIXELS = 16
LEAST_PATCHES = 24
MOST_PATCHES = 600
FLATTEST = (
    3.0  # percent of the patches of soft tissue: as flat as differences of neighbouring slices, measured
)
AS_FLAT = 1.25
LOWEST = 0.1  # cycles per mm: below it anatomy outweighs the noise, and trends and the choice of patches take from it
HIGHEST = 0.9  # of the Nyquist frequency: beyond it folded noise counts twice
FAINTEST = 0.01  # of the greatest power: what lies below is rounding to whole HU
LEAST_RINGS = 5
STEEPEST = -15.0  # mm: of ln(NPS / f) at the lowest trusted frequency; smoothing scanners reach -12
DEGREE = 4

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NoiseSpectrum:
    """NPS(f), averaged over directions and patches.

    Attributes:
        frequency: f of each ring, cycles per mm, shape (n,), ascending.
        power: NPS, HU^2 mm^2, shape (n,).
        cells: independent frequencies that a ring averages over, shape (n,).
        pixel_mm: side of the pixels.
    """

    frequency: Array
    power: Array
    cells: Array
    pixel_mm: float

    def trusted(self) -> NDArray[np.bool_]:
        """The rings where noise dominates: above anatomy, below folding and rounding."""
        below = self.frequency <= HIGHEST * 0.5 / self.pixel_mm
        band = (self.frequency >= LOWEST) & below & (self.power > 0)
        return band & (self.power > FAINTEST * self.power[band].max(initial=0.0))

    def smooth(self, frequency: Array) -> Array:
        """NPS(f) = f exp(quartic in f), fitted to the trusted rings.

        NPS / f is constant above them; below, its logarithm goes on as it begins, to half the lowest of them.

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
        slope = min(max(float(fit.deriv()(f[0])), STEEPEST), 0.0)
        below = np.clip(frequency, f[0] / 2, f[0]) - f[0]
        return np.asarray(frequency * np.exp(fit(np.clip(frequency, f[0], f[-1])) + slope * below))

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


@dataclass(frozen=True, eq=False)
class FlatPatches:
    """Where the flattest soft tissue of some slices lies: the same places can be read in other images of the grid.

    Attributes:
        corners: (slice, row, column) of the first pixel of each patch, shape (n, 3).
        size: pixels along each side.
        pixel_mm: side of a pixel.
    """

    corners: NDArray[np.intp]
    size: int
    pixel_mm: float

    @classmethod
    def of(cls, slices: Sequence[NDArray[Any]] | NDArray[Any], pixel_mm: float) -> FlatPatches | None:
        """Patches of 24 mm with a mean of soft tissue that are as flat as the flattest 3 %, at least 24.

        A patch is flat where its averages over 5 mm hardly vary: choosing by all frequencies would choose patches
        whose noise happens to be low, by up to 40 %. As flat is within a factor of 1.25, which takes in few of the
        patches where anatomy is everywhere, and a quarter of them where there is none.

        Args:
            slices: HU, each of shape (rows, columns).
            pixel_mm: side of a pixel in mm.

        Returns:
            None where there are fewer patches of soft tissue, or where they hold no noise.
        """
        size = max(LEAST_PIXELS, 2 * round(PATCH_MM / pixel_mm / 2))
        corners, spread = [np.empty((0, 3), np.intp)], [np.empty(0)]
        for k, image in enumerate(slices):
            found = _soft_corners(np.asarray(image, dtype=np.float32), size)
            corners.append(np.insert(found, 0, k, axis=1))
            spread.append(_unevenness(_cut(image, found, size), pixel_mm))
        where = np.concatenate(corners)
        if len(where) < LEAST_PATCHES:
            return None
        flat = cls(where[_flattest(np.concatenate(spread))], size, pixel_mm)
        return flat if flat.read(slices).std() >= LEAST_NOISE_HU else None

    def read(self, slices: Sequence[NDArray[Any]] | NDArray[Any]) -> Array:
        """These patches of some slices, without their trend: HU, shape (n, size, size)."""
        cut = [_cut(slices[k], self.corners[self.corners[:, 0] == k, 1:], self.size) for k in self.slices]
        return detrended(np.concatenate(cut))

    @property
    def slices(self) -> list[int]:
        """The slices that have patches."""
        return sorted({int(k) for k in self.corners[:, 0]})

    def spectrum(self, slices: Sequence[NDArray[Any]] | NDArray[Any]) -> NoiseSpectrum:
        """The noise spectrum of these places in some slices."""
        return patch_spectrum(self.read(slices), self.pixel_mm)


def measure_spectrum(slices: Sequence[NDArray[Any]] | NDArray[Any], pixel_mm: float) -> NoiseSpectrum | None:
    """The spectrum of the noise in the flattest soft tissue of some slices; None where it cannot be told.

    Args:
        slices: HU, each of shape (rows, columns).
        pixel_mm: side of a pixel in mm.
    """
    flat = FlatPatches.of(slices, pixel_mm)
    if flat is None:
        return None
    spectrum = flat.spectrum(slices)
    return spectrum if np.count_nonzero(spectrum.trusted()) >= LEAST_RINGS else None


def patch_spectrum(patches: Array, pixel_mm: float) -> NoiseSpectrum:
    """The mean spectrum of patches (n, size, size) that have no trend, in rings one bin wide."""
    size = patches.shape[-1]
    hann = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
    window = np.outer(hann, hann)
    power = (np.abs(np.fft.fft2(patches * window)) ** 2).mean(0) * pixel_mm**2 / (window**2).sum()
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(size, pixel_mm), np.fft.fftfreq(size, pixel_mm)))
    ring = np.rint(f * size * pixel_mm).astype(int)
    inside = (ring > 0) & (ring <= size // 2)
    cells = np.bincount(ring[inside])[1:].astype(np.float64)
    mean = [np.bincount(ring[inside], value[inside])[1:] / cells for value in (f, power)]
    return NoiseSpectrum(mean[0], mean[1], cells, pixel_mm)


def detrended(patches: NDArray[Any]) -> Array:
    """Patches (n, size, size) less their best polynomials of second order in x and y."""
    size = patches.shape[-1]
    y, x = np.mgrid[:size, :size] / size - 0.5
    basis = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y]).reshape(6, -1).T
    q = np.linalg.qr(basis)[0]
    flat = patches.reshape(len(patches), size * size).astype(np.float64)
    return np.asarray(flat - (flat @ q) @ q.T).reshape(patches.shape)


def _flattest(unevenness: Array) -> NDArray[np.intp]:
    """Indices of the patches that are about as flat as the flattest, at most 600 of them."""
    order = np.argsort(unevenness, kind="stable")
    alike = unevenness[order] <= AS_FLAT * np.percentile(unevenness, FLATTEST)
    chosen = order[: max(LEAST_PATCHES, int(alike.sum()))]
    return chosen[:: math.ceil(len(chosen) / MOST_PATCHES)]


def _unevenness(patches: NDArray[Any], pixel_mm: float) -> Array:
    """Standard deviation of the averages over about 5 mm, without their trend; (n,)."""
    side = max(1, round(SMOOTHING_MM / pixel_mm))
    whole = patches.shape[-1] // side * side
    blocks = patches[:, :whole, :whole].reshape(len(patches), whole // side, side, whole // side, side)
    return np.asarray(detrended(blocks.mean(axis=(2, 4), dtype=np.float64)).std(axis=(1, 2)))


def _soft_corners(image: NDArray[np.float32], size: int) -> NDArray[np.intp]:
    """(row, column) of patches, a quarter of their size apart, whose mean is that of soft tissue; (n, 2)."""
    step = size // 4
    if min(image.shape) < size:
        return np.empty((0, 2), np.intp)
    total = np.pad(image.astype(np.float64), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    box = total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]
    mean = box[::step, ::step] / size**2
    return np.argwhere((mean >= SOFT_TISSUE_HU[0]) & (mean <= SOFT_TISSUE_HU[1])) * step


def _cut(image: NDArray[Any], corners: NDArray[np.intp], size: int) -> NDArray[Any]:
    if not len(corners):
        return np.empty((0, size, size), image.dtype)
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size))
    return windows[corners[:, 0], corners[:, 1]]
