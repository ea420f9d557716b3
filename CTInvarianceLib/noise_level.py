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
    soft = (mean >= SOFT_TISSUE_HU[0] - MIDDLE_HU) & (mean <= SOFT_TISSUE_HU[1] - MIDDLE_HU)
    smooth = variance[soft]
    if len(smooth) < LEAST_WINDOWS:
        return None
    lowest = smooth.kthvalue(1 + round(PERCENTILE / 100 * (len(smooth) - 1))).values.item()
    return math.sqrt(max(lowest, 0.0))


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
class NoisySum:
    """The noise level of image + a * noise for any a, from window moments taken once.

    variance(image + a noise) = variance(image) + 2 a covariance(image, noise) + a^2 variance(noise) per window.
    """

    mean: tuple[Tensor, Tensor]
    variance: tuple[Tensor, Tensor]
    covariance: Tensor

    @classmethod
    def of(cls, image: Image, noise: Image, pixel_mm: float) -> NoisySum:
        """Window moments of two slices of the same shape, HU."""
        w = window_size(pixel_mm)
        x, n = _centered(image), torch.as_tensor(noise)
        (mean, variance), (noise_mean, noise_variance) = _moments(x, w), _moments(n, w)
        covariance = _window_mean(x * n, w) - mean * noise_mean
        return cls((mean, noise_mean), (variance, noise_variance), covariance)

    def level(self, a: float) -> float | None:
        """`soft_tissue_noise` of image + a * noise."""
        mean = self.mean[0] + a * self.mean[1]
        return _level(mean, self.variance[0] + 2 * a * self.covariance + a * a * self.variance[1])

    def scale_for(self, target: float) -> float:
        """The factor a, between 1/64 and 64, at which the level is nearest to ``target`` HU; by bisection."""
        low, high = 1 / 64, 64.0
        while high / low > 1.002:
            middle = math.sqrt(low * high)
            level = self.level(middle)
            # So much noise that no window looks like soft tissue any more: too much.
            low, high = (middle, high) if level is not None and level < target else (low, middle)
        return math.sqrt(low * high)
