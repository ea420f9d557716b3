"""Where a CT image shows flat soft tissue, in which noise can be read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .noise_level import LEAST_NOISE_HU, SMOOTHING_MM, SOFT_TISSUE_HU
from .noise_spectrum import NoiseSpectrum, detrended, patch_spectrum

PATCH_MM = 24.0  # fits into liver, muscle and brain; resolves 0.06 cycles per mm
LEAST_PIXELS = 16
LEAST_PATCHES = 24
MOST_PATCHES = 600
FLATTEST = (
    3.0  # percent of the patches of soft tissue: as flat as differences of neighbouring slices, measured
)
AS_FLAT = 1.5  # less takes those whose noise is low by chance: 13 % too little at 0.1 / mm with 1.25

Array = NDArray[np.float64]
Images = Sequence[NDArray[Any]] | NDArray[Any]


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
    def of(cls, slices: Images, pixel_mm: float, *, flat_in: Images | None = None) -> FlatPatches | None:
        """Patches of 24 mm with a mean of soft tissue that are as flat as the flattest 3 %, at least 24.

        A patch is flat where its averages over 5 mm hardly vary: choosing by all frequencies would choose patches
        whose noise happens to be low, by up to 40 %. As flat is within a factor of 1.5, which takes in few of the
        patches where anatomy is everywhere, and half of them where there is none.

        Args:
            slices: HU, each of shape (rows, columns).
            pixel_mm: side of a pixel in mm.
            flat_in: images of the same places in which the patches are to be flat; None: the slices themselves.

        Returns:
            None where there are fewer patches of soft tissue, or where they hold no noise.
        """
        size = max(LEAST_PIXELS, 2 * round(PATCH_MM / pixel_mm / 2))
        corners, spread = [np.empty((0, 3), np.intp)], [np.empty(0)]
        judged = slices if flat_in is None else flat_in
        for k, (image, other) in enumerate(zip(slices, judged, strict=True)):
            found = _soft_corners(np.asarray(image, dtype=np.float32), size)
            corners.append(np.insert(found, 0, k, axis=1))
            spread.append(_unevenness(_cut(other, found, size), pixel_mm))
        where = np.concatenate(corners)
        if len(where) < LEAST_PATCHES:
            return None
        flat = cls(where[_flattest(np.concatenate(spread))], size, pixel_mm)
        return flat if flat.read(judged).std() >= LEAST_NOISE_HU else None

    def read(self, slices: Images) -> Array:
        """These patches of some slices, without their trend: HU, shape (n, size, size)."""
        cut = [_cut(slices[k], self.corners[self.corners[:, 0] == k, 1:], self.size) for k in self.slices]
        return detrended(np.concatenate(cut))

    @property
    def slices(self) -> list[int]:
        """The slices that have patches."""
        return sorted({int(k) for k in self.corners[:, 0]})

    def spectrum(self, slices: Images) -> NoiseSpectrum:
        """The mean spectrum of these places in some slices, anatomy and all."""
        return patch_spectrum(self.read(slices), self.pixel_mm)


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
