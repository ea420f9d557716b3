"""Low dose from full dose: the noise that a lower tube current would have added, inserted in the projections.

Image -> line integrals -> variance that the dose reduction adds to every ray -> noise sinogram -> filtered
back-projection of the noise alone -> added to the image. The image itself is never reconstructed again, so its
resolution, kernel and artefacts stay as they are. After C. W. Kim and J. H. Kim, Med Phys 41:011901 (2014),
doi:10.1118/1.4830431; the variance model with electronic noise is that of L. Yu et al., J Comput Assist Tomogr
36(4):477-487 (2012), and S. Zabic et al., Med Phys 40(3):031102 (2013).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .errors import ConfigError, VolumeError
from .noise_level import LEAST_NOISE_HU, NoisySum, soft_tissue_noise
from .projection import ParallelBeam, filtered_back_projection, forward_project
from .protocol import Progress, unheard
from .volume import CTVolume

MU_WATER = 0.0192  # attenuation of water per mm at about 70 keV, the mean energy of a 120 kV beam
DETECTOR_MM = 0.6  # detector pitch at the isocentre of the usual 64-slice scanners
SCAN_VIEWS = 1000  # views of the scan that `photons` refers to
DEFAULT_PHOTONS = 5e5
ELECTRONIC_NOISE = 10.0
KERNEL_CUTOFF = 0.75  # cycles per mm: noise spectrum as of B30f to B40f, peak at 0.23 / mm
PADDING_HU = -1024  # at or below: outside the scanned circle, or air that the scanner clipped
COARSE_MM = 2.5  # fine enough for line integrals that only set a variance
COARSE_VIEWS = 90
LARGEST_VARIANCE = 1.0  # of one ray: beyond it the logarithm is not linear, and scanners clip the counts


@dataclass(frozen=True)
class Attenuator:
    """What the rays pass, when it is more than the field of view: HU (rows, columns), pixel side and centre, mm.

    ``center_mm`` is the (x, y) of the field's centre in the coordinates of this image (see `projection`).
    """

    hu: NDArray[np.float32]
    pixel_mm: float
    center_mm: tuple[float, float] = (0.0, 0.0)


def simulate_low_dose(
    volume: CTVolume,
    dose: float = 0.25,
    *,
    seed: int = 0,
    photons: float | None = None,
    electronic_noise: float = ELECTRONIC_NOISE,
    kernel_cutoff: float | None = None,
    device: str | torch.device = "cpu",
    progress: Progress = unheard,
) -> CTVolume:
    """The volume as it would look had it been scanned with a fraction of its dose.

    The image already carries the noise of its own dose, so every ray receives only the difference,
    variance(dose) - variance(1) with variance(d) = 1 / (N0 d exp(-p)) + s^2 / (N0 d exp(-p))^2: counting noise in
    its Gaussian limit plus electronic noise, both propagated through the logarithm, and at most 1. p is the line
    integral through the image, air clipped at 0. Each slice has its own random stream, (seed, slice index).
    Voxels at or below -1024 HU (padding) keep their value.

    Args:
        volume: the full-dose image.
        dose: fraction of the original dose, 0 < dose <= 1; 1 returns the HU unchanged.
        seed: of the noise.
        photons: N0, photons that reach a detector of 0.6 mm in air in one of 1000 views over 180 degrees at full
            dose. None matches it to each slice: low / full noise in its soft tissue is then 1 / sqrt(dose), see
            `match_photons`; 5e5 where a slice has no soft tissue or no noise in it.
        electronic_noise: s, standard deviation of the electronic noise in photons.
        kernel_cutoff: frequency in cycles per mm at which the Hann window of the reconstruction kernel reaches 0.
            None: 0.75, as soft-tissue kernels, but at most 1.3 times the Nyquist frequency of the pixels.
        device: where to compute.
        progress: called after every slice.

    Returns:
        float32 HU on the same affine.

    Raises:
        ConfigError: a dose outside (0, 1], or another setting out of range.
        VolumeError: pixels that are not square.
    """
    _check(dose, photons, electronic_noise, kernel_cutoff)
    if seed < 0:
        raise ConfigError("The seed is negative", where=seed)
    hu = np.array(volume.hu, dtype=np.float32)
    pixel_mm = _pixel_mm(volume)
    for k, image in enumerate(hu):
        if dose == 1:
            break
        scan = _Scan.of(Attenuator(image, pixel_mm), image.shape, pixel_mm, kernel_cutoff, (seed, k), device)
        n0 = photons or match_photons(image, scan, dose, electronic_noise)
        noise = scan.noise(dose, 1.0, n0, electronic_noise)
        hu[k] = np.where(image > PADDING_HU, image + noise, image)
        progress((k + 1) / len(hu))
    return volume.with_hu(hu)


def dose_noise(
    truth_hu: NDArray[np.floating],
    pixel_mm: float,
    *,
    dose: float,
    original_dose: float | None,
    photons: float,
    seed: int | Sequence[int],
    electronic_noise: float = ELECTRONIC_NOISE,
    kernel_cutoff: float | None = None,
    attenuator: Attenuator | None = None,
    device: str | torch.device = "cpu",
) -> NDArray[np.float32]:
    """The noise that takes one slice from ``original_dose`` (None: from no noise at all) to ``dose``, in HU.

    Args:
        truth_hu: one slice, shape (rows, columns).
        pixel_mm: side of a pixel in mm.
        dose: wanted dose, > 0, in units of the dose that ``photons`` stands for.
        original_dose: dose of the image as it is, at least ``dose``; None where it has no noise.
        photons: N0, see `simulate_low_dose`.
        seed: one or several integers.
        electronic_noise: s, see `simulate_low_dose`.
        kernel_cutoff: see `simulate_low_dose`.
        attenuator: what the rays pass, where the slice shows only a part of it; None: the slice itself.
        device: where to compute.

    Returns:
        Noise alone in HU, shape (rows, columns).
    """
    _check(min(dose, 1.0), photons, electronic_noise, kernel_cutoff)
    if original_dose is not None and original_dose < dose:
        raise ConfigError("Noise can only be added, not taken away", where=f"dose {original_dose} to {dose}")
    image = np.asarray(truth_hu, dtype=np.float32)
    body = attenuator or Attenuator(image, pixel_mm)
    seeds = (seed,) if isinstance(seed, int) else tuple(seed)
    scan = _Scan.of(body, image.shape, pixel_mm, kernel_cutoff, seeds, device)
    return scan.noise(dose, original_dose, photons, electronic_noise)


def match_photons(image: NDArray[np.float32], scan: _Scan, dose: float, electronic_noise: float) -> float:
    """N0 at which the inserted noise raises `soft_tissue_noise` of the slice by 1 / sqrt(dose).

    Noise falls as N0^-q, with q = 1/2 for counting noise and 1 for electronic noise: found by the secant rule on
    log N0, with the true noise at each N0; two rounds as a rule. Where soft tissue is narrower than the windows,
    anatomy passes for noise and too much is inserted: give `photons` there.

    Raises:
        VolumeError: there is no such N0, for instance where pixels are very wide.
    """
    level = soft_tissue_noise(image, scan.pixel_mm)
    if level is None or level < LEAST_NOISE_HU:
        return DEFAULT_PHOTONS
    log_n0, q, last = math.log(scan.photons_for(level)), 0.5, (0.0, 0.0)
    for round_ in range(6):
        noise = scan.noise(dose, 1.0, math.exp(log_n0), electronic_noise)
        if not noise.any():  # so few photons that no ray tells anything, at either dose
            break
        log_scale = math.log(NoisySum.of(image, noise, scan.pixel_mm).scale_for(level / math.sqrt(dose)))
        if abs(log_scale) < 0.005:
            return math.exp(log_n0)
        if round_ and log_n0 != last[0]:
            q = min(max((log_scale - last[1]) / (log_n0 - last[0]), 0.3), 1.2)
        last = (log_n0, log_scale)
        log_n0 -= log_scale / q
    if abs(last[1]) < 0.1 and noise.any():
        return math.exp(log_n0)
    raise VolumeError(
        f"no number of photons explains the noise of {level:.0f} HU at pixels of {scan.pixel_mm:.2g} mm",
        hint="Give `photons`, the unattenuated photons of a ray at full dose.",
    )


@dataclass(frozen=True)
class _Scan:
    """One slice in the scanner: its rays, their line integrals and one draw of white noise."""

    beam: ParallelBeam
    shape: tuple[int, int]
    pixel_mm: float
    cutoff: float
    integrals: Tensor  # (views, detectors)
    white: Tensor  # (views, detectors), N(0, 1)

    @classmethod
    def of(
        cls,
        body: Attenuator,
        shape: tuple[int, ...],
        pixel_mm: float,
        kernel_cutoff: float | None,
        seed: tuple[int, ...],
        device: str | torch.device,
    ) -> _Scan:
        rows, columns = shape
        cutoff = kernel_cutoff or _cutoff(pixel_mm)
        # Spokes of a spectrum of this width stay closer than the resolution of a field of this size; the power
        # beyond 0.6 cutoff is 5 % of the whole.
        views = math.ceil(math.pi * max(shape) * pixel_mm * 0.6 * cutoff)
        beam = ParallelBeam.covering((rows, columns), pixel_mm, DETECTOR_MM, views)
        white = np.random.default_rng(seed).standard_normal((beam.views, beam.detectors), dtype=np.float32)
        integrals = _line_integrals(body, beam, torch.device(device))
        return cls(beam, (rows, columns), pixel_mm, cutoff, integrals, torch.from_numpy(white).to(device))

    def noise(self, dose: float, original: float | None, n0: float, s: float) -> NDArray[np.float32]:
        """Noise in HU, shape (rows, columns), that takes the slice from one dose to another."""
        added = _ray_variance(self.integrals, n0 * dose, s)
        if original is not None:
            added = added - _ray_variance(self.integrals, n0 * original, s)
        # Each view here stands for SCAN_VIEWS / views of the scan, and has the variance of their mean.
        rays = self.white * (added.clamp(min=0) * (self.beam.views / SCAN_VIEWS)).sqrt()
        mu = filtered_back_projection(rays[None], self.beam, self.shape, self.pixel_mm, cutoff=self.cutoff)
        return (mu[0] * (1000 / MU_WATER)).cpu().numpy()

    def photons_for(self, sigma_hu: float) -> float:
        """N0 that gives counting noise of this size on the axis; see `photons_for_noise`."""
        middle = self.integrals[:, self.beam.detectors // 2].exp().mean().item()
        return _noise_gain(self.cutoff) * middle / sigma_hu**2


def photons_for_noise(
    hu: NDArray[np.float32], pixel_mm: float, sigma_hu: float, *, seen_at_mm: float
) -> float:
    """N0 that gives counting noise of sigma HU in the middle of a slice: the closed form of FBP noise.

    sigma^2 = pi^2 ds / V * integral |H(f)|^2 df * mean over views of exp(p) / N0, p along the rays through the
    middle, ds and V the detector pitch and views of the scan, H the ramp times the Hann window.

    Args:
        hu: the slice that the rays pass, shape (rows, columns).
        pixel_mm: side of its pixels in mm.
        sigma_hu: wanted standard deviation.
        seen_at_mm: side of the pixels of the image that is to have this noise; it sets the kernel.
    """
    scan = _Scan.of(Attenuator(hu, pixel_mm), hu.shape, pixel_mm, _cutoff(seen_at_mm), (0,), "cpu")
    return scan.photons_for(sigma_hu)


def _cutoff(pixel_mm: float) -> float:
    """The default kernel at a pixel size, cycles per mm."""
    return min(KERNEL_CUTOFF, 1.3 * 0.5 / pixel_mm)


def _noise_gain(cutoff: float) -> float:
    """HU^2 of variance in the middle per unit variance of each ray of the scan."""
    f = np.linspace(0, cutoff, 257)
    power = 2 * np.trapezoid((f * np.cos(math.pi / 2 * f / cutoff) ** 2) ** 2, f)
    return float(math.pi**2 * DETECTOR_MM / SCAN_VIEWS * power * (1000 / MU_WATER) ** 2)


def _ray_variance(integrals: Tensor, photons: float, s: float) -> Tensor:
    """Variance of a measured line integral: 1 / N + s^2 / N^2 with N = photons exp(-p), at most 1."""
    inverse = integrals.exp() / photons
    return (inverse + (s * inverse) ** 2).clamp(max=LARGEST_VARIANCE)


def _line_integrals(body: Attenuator, beam: ParallelBeam, device: torch.device) -> Tensor:
    """p for every ray of the beam, computed on a coarse image and few views and interpolated."""
    hu = torch.as_tensor(body.hu, device=device)
    mu = ((hu + 1000) * (MU_WATER / 1000)).clamp(min=0)[None]
    factor = max(1, round(COARSE_MM / body.pixel_mm))
    mu = torch.nn.functional.avg_pool2d(mu, factor, ceil_mode=True) if factor > 1 else mu
    grown = [coarse * factor - fine for coarse, fine in zip(mu.shape[1:], hu.shape, strict=True)]
    # An incomplete last row or column of the pooling moves the centre of the coarse image.
    center = (
        body.center_mm[0] - grown[1] / 2 * body.pixel_mm,
        body.center_mm[1] - grown[0] / 2 * body.pixel_mm,
    )
    length = beam.detectors * beam.spacing_mm
    coarse = ParallelBeam(COARSE_VIEWS, math.ceil(length / COARSE_MM) + 1, COARSE_MM)
    p = forward_project(mu, body.pixel_mm * factor, coarse, center_mm=center)[0]
    p = torch.cat([p, p[:1].flip(1)])  # view pi is view 0 seen from behind
    view = torch.arange(beam.views, device=device) * (COARSE_VIEWS / beam.views)
    detector = beam.positions().to(device) / COARSE_MM + (coarse.detectors - 1) / 2
    return _between(_between(p, view).T, detector).T.contiguous()


def _between(table: Tensor, position: Tensor) -> Tensor:
    """Rows of a table at positions between them, linearly interpolated."""
    left = position.clamp(0, len(table) - 1.001).floor()
    index = left.long()
    return torch.lerp(table[index], table[index + 1], (position - left)[:, None])


def _pixel_mm(volume: CTVolume) -> float:
    column, row, _ = volume.spacing
    if abs(column - row) > 0.01 * row:
        raise VolumeError(
            "The pixels are not square",
            where=f"{column:.3f} x {row:.3f} mm",
            hint="Resample the volume first.",
        )
    return row


def _check(dose: float, photons: float | None, electronic_noise: float, kernel_cutoff: float | None) -> None:
    if not 0 < dose <= 1:
        raise ConfigError(
            "The dose is not a fraction of the original", where=dose, hint="Give 0 < dose <= 1."
        )
    if photons is not None and not 0 < photons < math.inf:
        raise ConfigError("The number of photons is not positive", where=photons)
    if not 0 <= electronic_noise < math.inf:
        raise ConfigError("The electronic noise is negative or not finite", where=electronic_noise)
    highest = 0.5 / DETECTOR_MM
    if kernel_cutoff is not None and not 0 < kernel_cutoff <= highest:
        hint = f"Give up to {highest:.2f} cycles per mm: detectors are {DETECTOR_MM} mm apart."
        raise ConfigError("The cutoff of the kernel is out of range", where=kernel_cutoff, hint=hint)
