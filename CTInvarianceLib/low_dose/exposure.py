"""Slices in the scanner: rays, line integrals, photons, and the noise that a dose puts into the image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .kernel import Kernel
from .projection import ParallelBeam, filtered_back_projection, forward_project
from .scanner import MU_WATER, Scanner

DETECTOR_MM = 0.6  # detector pitch at the isocentre of the usual 64-slice scanners
SCAN_VIEWS = 1000  # views over 180 degrees of the scan that `photons` refers to
COARSE_MM = 2.5  # fine enough for line integrals that only set a variance
COARSE_VIEWS = 90
LARGEST_VARIANCE = 1.0  # of one ray: beyond it the logarithm is not linear, and scanners clip the counts
HU_PER_MU = 1000 / MU_WATER


@dataclass(frozen=True)
class Attenuator:
    """What the rays pass, when it is more than the field of view: HU (rows, columns), pixel side and centre, mm.

    ``center_mm`` is the (x, y) of the field's centre in the coordinates of this image (see `projection`).
    """

    hu: NDArray[np.float32]
    pixel_mm: float
    center_mm: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Exposure:
    """Slices of one shape: what reaches the detector, and one draw of white noise for each ray.

    Attributes:
        beam: the rays.
        shape: (rows, columns) of the images.
        pixel_mm: side of their pixels.
        kernel: of the reconstruction, one for all slices or one for each.
        weakening: exp(p) / fluence of each ray, p its line integral; (slices, views, detectors).
        white: N(0, 1) for each ray; the same shape.
    """

    beam: ParallelBeam
    shape: tuple[int, int]
    pixel_mm: float
    kernel: Kernel
    weakening: Tensor
    white: Tensor

    @classmethod
    def of(
        cls,
        bodies: Sequence[Attenuator],
        shape: tuple[int, int],
        pixel_mm: float,
        *,
        kernel: Kernel,
        scanner: Scanner,
        seeds: Sequence[Sequence[int]],
        device: str | torch.device,
        bandwidth: float | None = None,
    ) -> Exposure:
        """Exposure of bodies that have images of the same shape and pixel; every slice has a seed of its own.

        ``bandwidth`` sets the number of views; None: that of the kernel.
        """
        # Spokes of a spectrum of this width stay closer than the resolution of a field of this size.
        views = math.ceil(math.pi * max(shape) * pixel_mm * (bandwidth or kernel.bandwidth()))
        beam = ParallelBeam.covering(shape, pixel_mm, DETECTOR_MM, views)
        integrals = _line_integrals(bodies, beam, torch.device(device))
        field_mm = max(bodies[0].hu.shape) * bodies[0].pixel_mm
        weakening = integrals.exp() / scanner.fluence(integrals, beam, field_mm)
        draws = [_white(seed, beam) for seed in seeds]
        return cls(beam, shape, pixel_mm, kernel, weakening, torch.stack(draws).to(device))

    def __getitem__(self, slices: Tensor) -> Exposure:
        """The exposure of some slices, given as a tensor of indices."""
        chosen = self.weakening[slices], self.white[slices]
        kernel = self.kernel.of_slices(slices.cpu().numpy())
        return Exposure(self.beam, self.shape, self.pixel_mm, kernel, *chosen)

    def noise(self, dose: float, original: float | None, photons: Tensor, s: float) -> Tensor:
        """Noise in HU that takes the slices from one dose to another; original None: from no noise at all.

        Args:
            dose: wanted dose, a share of the dose that the photons stand for.
            original: dose of the images as they are.
            photons: N0 of each slice, shape (slices,).
            s: standard deviation of the electronic noise in photons.

        Returns:
            (slices, rows, columns).
        """
        n0 = photons[:, None, None]
        added = _ray_variance(self.weakening / (n0 * dose), s)
        if original is not None:
            added = added - _ray_variance(self.weakening / (n0 * original), s)
        # Each view here stands for SCAN_VIEWS / views of the scan, and has the variance of their mean.
        rays = self.white * (added.clamp(min=0) * (self.beam.views / SCAN_VIEWS)).sqrt()
        mu = filtered_back_projection(rays, self.beam, self.shape, self.pixel_mm, window=self.kernel.window)
        return mu * HU_PER_MU

    def growth(self, index: int, pixels: Tensor, dose: float, photons: float, s: float) -> float:
        """What a lower dose adds to the variance at full dose, over that: 1 / dose - 1, more for electronic noise.

        Args:
            index: of the slice.
            pixels: (row, column) of where, shape (n, 2); the median of them is told.
            dose: wanted, a share of that of the images.
            photons: N0.
            s: standard deviation of the electronic noise in photons.
        """
        cos, sin, _ = self.beam.directions()
        views = torch.arange(0, self.beam.views, max(1, self.beam.views // COARSE_VIEWS))
        y, x = ((pixels[:, k].cpu() - (self.shape[k] - 1) / 2) * self.pixel_mm for k in (0, 1))
        along = cos[views, None] * x + sin[views, None] * y
        detector = (along / self.beam.spacing_mm + (self.beam.detectors - 1) / 2).round().long()
        passing = self.weakening[index][views[:, None], detector] / photons
        full, low = (_ray_variance(passing / d, s).sum(0) for d in (1.0, dose))
        return ((low - full) / full).median().item()

    def photons_for(self, sigma_hu: Tensor, s: float) -> Tensor:
        """N0 that gives noise of these sizes on the axis: sigma^2 = gain (m1 / N0 + s^2 m2 / N0^2).

        m1 and m2 are the mean and the mean square, over views, of the weakening of the ray through the axis.

        Args:
            sigma_hu: HU, shape (slices,).
            s: standard deviation of the electronic noise in photons.
        """
        middle = self.weakening[:, :, self.beam.detectors // 2]
        inverse = torch.as_tensor(noise_gain(self.kernel)).to(sigma_hu) / sigma_hu**2
        counting, electronic = inverse * middle.mean(1), inverse * s**2 * (middle**2).mean(1)
        return counting / 2 + (counting**2 / 4 + electronic).sqrt()


def noise_gain(kernel: Kernel) -> NDArray[np.float64]:
    """HU^2 of variance in the middle per unit variance of each ray of the scan: pi^2 ds / V * integral H(f)^2 df."""
    return math.pi**2 * DETECTOR_MM / SCAN_VIEWS * kernel.power() * HU_PER_MU**2


def _white(seed: Sequence[int], beam: ParallelBeam) -> Tensor:
    """N(0, 1) for each ray; drawn on the CPU, so that a seed is the same noise on every device."""
    draw = np.random.default_rng(list(seed)).standard_normal((beam.views, beam.detectors), dtype=np.float32)
    return torch.from_numpy(draw)


def _ray_variance(inverse: Tensor, s: float) -> Tensor:
    """Variance of a measured line integral: 1 / N + s^2 / N^2, at most 1, given 1 / N."""
    return (inverse + (s * inverse) ** 2).clamp(max=LARGEST_VARIANCE)


def _line_integrals(bodies: Sequence[Attenuator], beam: ParallelBeam, device: torch.device) -> Tensor:
    """p for every ray of the beam, computed on coarse images and few views and interpolated."""
    body = bodies[0]
    hu = torch.stack([torch.as_tensor(one.hu, dtype=torch.float32) for one in bodies]).to(device)
    mu = ((hu + 1000) / HU_PER_MU).clamp(min=0)
    factor = max(1, round(COARSE_MM / body.pixel_mm))
    mu = torch.nn.functional.avg_pool2d(mu, factor, ceil_mode=True) if factor > 1 else mu
    grown = [coarse * factor - fine for coarse, fine in zip(mu.shape[1:], hu.shape[1:], strict=True)]
    # An incomplete last row or column of the pooling moves the centre of the coarse image.
    center = (
        body.center_mm[0] - grown[1] / 2 * body.pixel_mm,
        body.center_mm[1] - grown[0] / 2 * body.pixel_mm,
    )
    length = beam.detectors * beam.spacing_mm
    coarse = ParallelBeam(COARSE_VIEWS, math.ceil(length / COARSE_MM) + 1, COARSE_MM)
    p = forward_project(mu, body.pixel_mm * factor, coarse, center_mm=center)
    p = torch.cat([p, p[:, :1].flip(2)], dim=1)  # view pi is view 0 seen from behind
    view = torch.arange(beam.views, device=device) * (COARSE_VIEWS / beam.views)
    detector = beam.positions().to(device) / COARSE_MM + (coarse.detectors - 1) / 2
    return _between(_between(p, view).transpose(1, 2), detector).transpose(1, 2).contiguous()


def _between(table: Tensor, position: Tensor) -> Tensor:
    """Rows of tables (slices, n, ...) at positions between them, linearly interpolated."""
    left = position.clamp(0, table.shape[1] - 1.001).floor()
    index = left.long()
    return torch.lerp(table[:, index], table[:, index + 1], (position - left)[:, None])
