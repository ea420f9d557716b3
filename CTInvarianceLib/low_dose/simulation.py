"""Low dose from full dose: the noise that a lower tube current would have added, inserted in the projections.

Image -> line integrals -> variance that the dose reduction adds to every ray -> noise sinogram -> filtered
back-projection of the noise alone, with a kernel whose noise has the image's own spectrum -> added to the image. The
image itself is never reconstructed again, so its resolution, kernel and artefacts stay as they are. After C. W. Kim
and J. H. Kim, Med Phys 41:011901 (2014), doi:10.1118/1.4830431; the variance model with electronic noise is that of
L. Yu et al., J Comput Assist Tomogr 36(4):477-487 (2012), and S. Zabic et al., Med Phys 40(3):031102 (2013).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..base import ConfigError, Progress, VolumeError, unheard
from ..volumes import CTVolume, require_axial
from .exposure import DETECTOR_MM, Attenuator, Exposure
from .kernel import Kernel
from .noise_match import matched_noise
from .scan_kernel import GIVEN, SpectrumOrigin, scan_kernel
from .scanner import Scanner

__all__ = [
    "Attenuator",
    "LowDoseVolume",
    "Scanner",
    "dose_noise",
    "photons_for_noise",
    "scan_noise",
    "simulate_low_dose",
]

ELECTRONIC_NOISE = 10.0
PADDING_HU = -1024  # at or below: outside the scanned circle, or air that the scanner clipped
BATCH_ELSEWHERE = 16  # slices at once on a GPU; a CPU is as fast with one, whose image stays in its cache
USUAL = Scanner()


@dataclass(frozen=True, eq=False)
class LowDoseVolume(CTVolume):
    """A simulated low dose.

    Args:
        spectrum: where the spectrum of its noise comes from; `spectrum.sentence` says what to be careful with.
    """

    spectrum: SpectrumOrigin = GIVEN


def simulate_low_dose(
    volume: CTVolume,
    dose: float = 0.25,
    *,
    seed: int = 0,
    photons: float | None = None,
    electronic_noise: float = ELECTRONIC_NOISE,
    kernel_cutoff: float | None = None,
    scanner: Scanner = USUAL,
    batch: int | None = None,
    device: str | torch.device = "cpu",
    progress: Progress = unheard,
) -> LowDoseVolume:
    """The volume as it would look had it been scanned with a fraction of its dose.

    The image already carries the noise of its own dose, so every ray receives only the difference,
    variance(dose) - variance(1) with variance(d) = 1 / N + s^2 / N^2, N = N0 b d exp(-p), and at most 1: counting
    noise in its Gaussian limit plus electronic noise, both propagated through the logarithm. p is the line integral
    through the image, air clipped at 0; b the ray's share of the fluence, see `scanner.Scanner`. Each slice has its
    own random stream, (seed, slice index), whatever the batch.

    Voxels at or below -1024 HU (padding) keep their value; no other is clipped, though the noise takes some of them
    below -1024: clipping would raise the mean of air.

    Args:
        volume: the full-dose image.
        dose: fraction of the original dose, 0 < dose <= 1; 1 returns the HU unchanged.
        seed: of the noise.
        photons: N0, photons that reach a detector of 0.6 mm on the axis in air in one of 1000 views over 180
            degrees at full dose. None matches it to the noise of each slice, see `noise_match.matched_noise`.
        electronic_noise: s, standard deviation of the electronic noise in photons.
        kernel_cutoff: frequency in cycles per mm at which the Hann window of the reconstruction kernel reaches 0.
            None: the kernels that the noise of the volume tells, see `scan_kernel`.
        scanner: fan, bow-tie filter and current; ``Scanner(None, 0, 0)`` is parallel rays of equal fluence.
        batch: slices at once; None: 1 on a CPU, 16 elsewhere.
        device: where to compute.
        progress: called after every batch.

    Returns:
        float32 HU on the same affine, and where the spectrum of the noise comes from.

    Raises:
        ConfigError: a dose outside (0, 1], or another setting out of range.
        VolumeError: slices that are not axial, pixels that are not square, or noise that no number of photons explains.

    Warns:
        GeometryWarning: oblique slices.
    """
    _check(dose, photons, electronic_noise, kernel_cutoff)
    if seed < 0:
        raise ConfigError("The seed is negative", where=seed)
    if batch is not None and batch < 1:
        raise ConfigError("The batch holds no slice", where=batch)
    require_axial(volume)
    hu = np.array(volume.hu, dtype=np.float32)
    pixel_mm = _pixel_mm(volume)
    if dose == 1:
        return LowDoseVolume(hu, volume.affine, volume.source)
    kernel, origin = (Kernel.hann(kernel_cutoff), GIVEN) if kernel_cutoff else scan_kernel(volume, pixel_mm)
    bandwidth = kernel.bandwidth()
    at_once = batch or (1 if torch.device(device).type == "cpu" else BATCH_ELSEWHERE)
    for first in range(0, len(hu), at_once):
        part = slice(first, first + at_once)
        some = hu[part]
        exposure = Exposure.of(
            [Attenuator(image, pixel_mm) for image in some], some.shape[1:], pixel_mm, scanner=scanner,
            kernel=kernel.of_slices(part), bandwidth=bandwidth,
            seeds=[(seed, first + k) for k in range(len(some))], device=device,
        )  # fmt: skip
        images = torch.from_numpy(some).to(device)
        try:
            noise = _noise(images, exposure, dose, photons, electronic_noise)
        except VolumeError as error:
            where = f"{volume.source or 'volume'}, slice {first}" + (
                "" if len(some) == 1 else " and following"
            )
            raise VolumeError(error.what, where=where, hint=error.hint) from error
        hu[part] = torch.where(images > PADDING_HU, images + noise, images).cpu().numpy()
        progress((first + len(some)) / len(hu))
    return LowDoseVolume(hu, volume.affine, volume.source, origin)


def _noise(images: Tensor, exposure: Exposure, dose: float, photons: float | None, s: float) -> Tensor:
    if photons is None:
        return matched_noise(images, exposure, dose, s)
    return exposure.noise(dose, 1.0, images.new_full((len(images),), photons), s)


def scan_noise(
    volume: CTVolume, *, seed: int = 0, device: str | torch.device = "cpu", progress: Progress = unheard
) -> NDArray[np.float32] | None:
    """Noise as another scan of the volume at its own dose would have it, (slices, rows, columns), HU.

    What half the dose adds is as strong as what is there: variance(½) − variance(1) = variance(1). None where no
    number of photons explains the noise, for instance where pixels are very wide.

    Raises:
        VolumeError: slices that are not axial.
    """
    require_axial(volume)
    try:
        half = simulate_low_dose(volume, 0.5, seed=seed, device=device, progress=progress)
    except VolumeError:
        return None
    return np.asarray(half.hu - volume.hu.astype(np.float32))


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
    scanner: Scanner = USUAL,
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
        kernel_cutoff: see `simulate_low_dose`; None: 0.75 per mm, or 1.3 times the pixels' Nyquist frequency.
        attenuator: what the rays pass, where the slice shows only a part of it; None: the slice itself.
        scanner: see `simulate_low_dose`.
        device: where to compute.

    Returns:
        Noise alone in HU, shape (rows, columns).

    Raises:
        ConfigError: a setting out of range, or noise to be taken away.
    """
    _check(min(dose, 1.0), photons, electronic_noise, kernel_cutoff)
    if original_dose is not None and original_dose < dose:
        raise ConfigError("Noise can only be added, not taken away", where=f"dose {original_dose} to {dose}")
    image = np.asarray(truth_hu, dtype=np.float32)
    body = attenuator or Attenuator(image, pixel_mm)
    kernel = Kernel.hann(kernel_cutoff) if kernel_cutoff else Kernel.soft(pixel_mm)
    seeds = [(seed,) if isinstance(seed, int) else tuple(seed)]
    rows, columns = image.shape
    exposure = Exposure.of(
        [body], (rows, columns), pixel_mm, kernel=kernel, scanner=scanner, seeds=seeds, device=device
    )
    n0 = torch.tensor([photons], dtype=torch.float32, device=device)
    return np.asarray(exposure.noise(dose, original_dose, n0, electronic_noise)[0].cpu().numpy())


def photons_for_noise(
    hu: NDArray[np.float32], pixel_mm: float, sigma_hu: float, *, seen_at_mm: float, scanner: Scanner = USUAL
) -> float:
    """N0 that gives counting noise of sigma HU in the middle of a slice: the closed form of FBP noise.

    sigma^2 = pi^2 ds / V * integral |H(f)|^2 df * mean over views of exp(p) / (b N0), p and b of the rays through
    the middle, ds and V the detector pitch and views of the scan, H the ramp times the Hann window.

    Args:
        hu: the slice that the rays pass, shape (rows, columns).
        pixel_mm: side of its pixels in mm.
        sigma_hu: wanted standard deviation.
        seen_at_mm: side of the pixels of the image that is to have this noise; it sets the kernel.
        scanner: see `simulate_low_dose`.
    """
    rows, columns = hu.shape
    exposure = Exposure.of(
        [Attenuator(hu, pixel_mm)], (rows, columns), pixel_mm, kernel=Kernel.soft(seen_at_mm),
        scanner=scanner, seeds=[(0,)], device="cpu",
    )  # fmt: skip
    return exposure.photons_for(torch.tensor([sigma_hu]), 0.0).item()


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
