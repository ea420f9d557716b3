"""The noise spectrum where anatomy is near: what of a spectrum is noise, and from which frequency on.

Noise is alike in all patches, anatomy is not: it adds to some of them, and most at low frequencies. So a ring's noise
is told from the patches that have least in it, and where the mean of all lies above what noise alone would make of
that, anatomy is in it.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .flat_patches import FlatPatches, Images
from .noise_spectrum import HIGHEST, LEAST_RINGS, Array, NoiseSpectrum, detrended, ring_powers

LOWEST = 0.08  # cycles per mm: trends take from what lies below
SEEN_BY = 0.13  # a spectrum that is trusted from here on holds no anatomy that matters
LOST_BY = 0.33  # one that is not trusted here tells nothing
QUANTILE = 0.25  # of the patches, by their power in a ring
ALIKE = 1.15  # mean over quantile, as a multiple of what it is in noise
CHANCE = 6.0  # and so much over the root of a ring's values more: patches overlap, few of the values are independent
TESTED = (0.1, 0.45)  # cycles per mm: rings below hold too few frequencies to tell
LEVEL_BAND = (0.25, 0.45)  # cycles per mm: noise outweighs anatomy in most patches
STEEP_BAND = (0.085, 0.2)
STEEPEST = 3.0  # NPS / f falls as f^-2.3 at most with noise (four scanners), as f^-3.4 and more with anatomy
THIN_MM = (
    5.0  # slices so near each other show much the same anatomy, so that their difference shows less of it
)


def measure_spectrum(
    slices: Images, pixel_mm: float, *, neighbours: Images | None = None
) -> NoiseSpectrum | None:
    """The spectrum of the noise in the flattest soft tissue of some slices; None where it cannot be told.

    Args:
        slices: HU, each of shape (rows, columns).
        pixel_mm: side of a pixel in mm.
        neighbours: a slice next to each of them, not more than 5 mm away, where there are any. The noise is then read
            from the slices or from the differences, whichever hold less anatomy; of the latter only the shape is right.
    """
    own = _told(FlatPatches.of(slices, pixel_mm), slices)
    if neighbours is None:
        return own
    rest = [
        np.subtract(a, b, dtype=np.float32) / math.sqrt(2) for a, b in zip(slices, neighbours, strict=True)
    ]
    other = _told(FlatPatches.of(slices, pixel_mm, flat_in=rest), rest)
    told = [spectrum for spectrum in (own, other) if spectrum]
    return min(
        told,
        key=lambda spectrum: (spectrum.lowest > SEEN_BY, spectrum.lowest, _steepness(spectrum)),
        default=None,
    )


def _told(flat: FlatPatches | None, images: Images) -> NoiseSpectrum | None:
    return None if flat is None else noise_of(flat.read(images), flat.pixel_mm)


def noise_of(patches: Array, pixel_mm: float) -> NoiseSpectrum | None:
    """The spectrum of the noise in patches that hold anatomy too; None where they hold little else.

    Args:
        patches: without their trend, HU, shape (n, size, size).
        pixel_mm: side of a pixel in mm.

    Returns:
        Its `lowest` is the frequency from which on the patches are as alike as noise is.
    """
    frequency, power, cells = ring_powers(patches, pixel_mm)
    highest = HIGHEST * 0.5 / pixel_mm
    band = (frequency >= min(LEVEL_BAND[0], highest / 2)) & (frequency <= min(LEVEL_BAND[1], highest))
    noise = _quantile(power, band) / _white_quantile(patches.shape[-1], tuple(band))
    if not noise.all():
        return None
    spread = power.mean(0) / _white_mean(patches.shape[-1]) / noise
    usable = (frequency >= LOWEST) & (frequency <= highest)
    alike = ALIKE + CHANCE / np.sqrt(len(patches) * cells)
    tested = usable & (frequency >= TESTED[0]) & (frequency <= TESTED[1])
    uneven = tested & (spread > alike)
    trusted = usable & (frequency > frequency[uneven].max(initial=0.0))
    spectrum = NoiseSpectrum(frequency, noise, cells, pixel_mm, float(frequency[trusted].min(initial=np.inf)))
    if spectrum.lowest > LOST_BY or np.count_nonzero(spectrum.trusted()) < LEAST_RINGS:
        return None
    return None if _steepness(spectrum) > STEEPEST else spectrum


def _quantile(power: Array, band: NDArray[np.bool_]) -> Array:
    """A low quantile over the patches in each ring, their level taken out: patches (n, rings), rings of the level."""
    mean = power.mean(0)
    level = (power[:, band] / mean[band]).mean(1, keepdims=True)
    return np.quantile(np.divide(power, level, out=np.zeros_like(power), where=level > 0), QUANTILE, axis=0)


@lru_cache(maxsize=8)
def _white(size: int) -> Array:
    """Ring powers of patches of white noise of variance 1, as read by `FlatPatches`."""
    patches = np.random.default_rng(0).standard_normal((400, size, size))
    return ring_powers(detrended(patches), 1.0)[1]


def _white_mean(size: int) -> Array:
    return np.asarray(_white(size).mean(0))


@lru_cache(maxsize=8)
def _white_quantile(size: int, band: tuple[bool, ...]) -> Array:
    return _quantile(_white(size), np.array(band))


def _steepness(spectrum: NoiseSpectrum) -> float:
    """n, where NPS / f falls as f^-n between 0.085 and 0.2 cycles per mm."""
    frequency, power = spectrum.frequency, spectrum.power
    low, high = (int(np.abs(frequency - f).argmin()) for f in STEEP_BAND)
    if high <= low:
        return 0.0
    rise = power[low] / frequency[low] / (power[high] / frequency[high])
    return math.log(rise) / math.log(frequency[high] / frequency[low])
