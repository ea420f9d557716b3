"""How noisy a CT slice is, read from its own soft tissue."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

WINDOW = 15  # pixels: large enough for a stable deviation, small enough to fit into organs of 1 mm pixels
WIDE_PIXEL_MM, WIDE_WINDOW_MM = 1.2, 10.5  # wider pixels: windows of this size fit into muscles too
SOFT_TISSUE_HU = (-20.0, 150.0)
MIDDLE_HU = 65.0  # moments are taken around it: float32 then tells the variance of soft tissue to 1e-4
PERCENTILE = 5.0  # the smoothest windows: those that hold noise and little anatomy
LEAST_WINDOWS = 64
SMOOTHING_MM = 4.7  # noise has most of its power at waves shorter than twice this, organs at longer ones
FINE_MM = 1.6  # of the waves that anatomy has least of: shorter than three times this
LEAST_FLAT, FLATTEST = 16, 0.05
LEAST_NOISE_HU = 0.5  # below the rounding of HU to integers (1 / sqrt(12)) there is nothing to measure

Image = Tensor | NDArray[np.floating | np.integer]


def soft_tissue_noise(image: Image, pixel_mm: float = 1.0) -> float | None:
    """5th percentile of the local standard deviation in 15x15 windows whose mean is -20 to 150 HU.

    A low percentile is biased low, more so for coarse noise, and holds some anatomy where tissue is narrow: compare
    it only with itself. Pixels wider than 1.2 mm take windows of about 10.5 mm.

    Args:
        image: one slice in HU, shape (rows, columns); a tensor is read on its own device.
        pixel_mm: side of a pixel in mm.

    Returns:
        HU, or None where fewer than 64 windows hold soft tissue.
    """
    return _level(*_moments(_centered(image), window_size(pixel_mm)))


def window_size(pixel_mm: float) -> int:
    """Side of the windows in pixels, odd."""
    return WINDOW if pixel_mm <= WIDE_PIXEL_MM else max(5, 2 * round((WIDE_WINDOW_MM / pixel_mm - 1) / 2) + 1)


def _centered(image: Image) -> Tensor:
    values = torch.as_tensor(image)
    return (values if values.is_floating_point() else values.float()) - MIDDLE_HU


def _level(mean: Tensor, variance: Tensor) -> float | None:
    smooth = variance[_is_soft(mean)]
    if len(smooth) < LEAST_WINDOWS:
        return None
    lowest = smooth.kthvalue(1 + round(PERCENTILE / 100 * (len(smooth) - 1))).values.item()
    return math.sqrt(max(lowest, 0.0))


def _is_soft(centered: Tensor) -> Tensor:
    return (centered >= SOFT_TISSUE_HU[0] - MIDDLE_HU) & (centered <= SOFT_TISSUE_HU[1] - MIDDLE_HU)


def _moments(image: Tensor, w: int) -> tuple[Tensor, Tensor]:
    mean = _window_mean(image, w)
    return mean, _window_mean(image * image, w) - mean * mean


def _window_mean(image: Tensor, w: int) -> Tensor:
    """Mean over every window of w x w pixels that lies inside the image."""
    if min(image.shape) < w:
        return image.new_empty((0, 0))
    columns = torch.nn.functional.avg_pool2d(image[None], (w, 1), stride=1)
    return torch.nn.functional.avg_pool2d(columns, (1, w), stride=1)[0]


@dataclass(frozen=True, eq=False)
class FlatWindows:
    """Windows of soft tissue without edges, chosen so that the choice does not favour those whose noise is low.

    A window is flat where the image averaged over 5 mm hardly varies; its noise is then read from what that average
    leaves, f > 0.13 / mm. The windows of least variance would be those where the noise itself happens to be low: by
    8 to 12 % in CT of five scanners.

    Attributes:
        where: which windows are flat, shape (rows - side + 1, columns - side + 1).
        smoothing: side of the average in pixels, odd; windows are three times as wide.
        fine: side of another average, over 1.6 mm.
    """

    where: Tensor
    smoothing: int
    fine: int

    @classmethod
    def of(cls, image: Tensor, pixel_mm: float) -> FlatWindows | None:
        """The flattest 5 % of the windows of soft tissue, at least 16; None where there are fewer than 64 of them.

        Args:
            image: one slice in HU, shape (rows, columns).
            pixel_mm: side of a pixel in mm.
        """
        smoothing, fine = (max(3, 2 * round((mm / pixel_mm - 1) / 2) + 1) for mm in (SMOOTHING_MM, FINE_MM))
        mean, unevenness = _moments(_smoothed(_centered(image), smoothing), 3 * smoothing)
        soft = _is_soft(mean)
        count = int(soft.count_nonzero())
        if count < LEAST_WINDOWS:
            return None
        bound = unevenness[soft].kthvalue(max(LEAST_FLAT, int(FLATTEST * count))).values
        return cls(soft & (unevenness <= bound), smoothing, fine)

    def centers(self, count: int) -> Tensor:
        """(row, column) of the pixels in the middle of some of the windows, evenly chosen; shape (up to count, 2)."""
        found = self.where.nonzero() + 3 * self.smoothing // 2
        return found[:: math.ceil(len(found) / count)]

    def variance(self, image: Tensor) -> Tensor:
        """Variance of the noise above 0.13 cycles per mm in each window, HU^2, shape (windows,)."""
        return self._beyond(image, self.smoothing)

    def fine_variance(self, image: Tensor) -> Tensor:
        """The same of the noise above about 0.35 cycles per mm, or above what three pixels resolve."""
        return self._beyond(image, self.fine)

    def _beyond(self, image: Tensor, smoothing: int) -> Tensor:
        rest = image - _smoothed(image, smoothing)
        return _moments(rest, 3 * self.smoothing)[1][self.where].clamp(min=0)


def _smoothed(image: Tensor, side: int) -> Tensor:
    """The mean over side x side pixels around each; the image's edge is continued."""
    grown = torch.nn.functional.pad(image[None, None], [side // 2] * 4, mode="replicate")
    return _window_mean(grown[0, 0], side)
