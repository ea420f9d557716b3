"""Pairs of low-dose and full-dose phantoms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..base import ConfigError, Progress, unheard
from ..volumes import CTVolume
from .slices import phantom

SLICE_MM = 3.0
NOISE_HU = {"chest": 19.0, "abdomen": 20.0, "head": 5.5}  # full dose, in the middle of the body
# Photons. Wide pixels reach a given noise with few photons, among which the usual electronic noise would dominate.
ELECTRONIC_NOISE = 1.0
WHOLE_MM = 384.0  # field that shows the whole body


@dataclass(frozen=True)
class PhantomPair:
    """One patient at two doses and without noise, on the same grid."""

    low_dose: CTVolume
    full_dose: CTVolume
    truth: CTVolume
    kind: str


def phantom_pair(
    kind: str,
    *,
    seed: int,
    slices: int = 4,
    size: int = 256,
    pixel_mm: float = 1.5,
    dose: float = 0.25,
    center_mm: tuple[float, float] = (0.0, 0.0),
    progress: Progress = unheard,
) -> PhantomPair:
    """A stack of slices, 3 mm apart, whose anatomy changes smoothly, with the noise of full and of low dose.

    full = truth + noise(dose 1), low = full + noise(dose - 1): as in real pairs the low dose holds the noise of
    the full dose, so the ratio of their noise is 1 / sqrt(dose) and its correlation sqrt(dose). Full dose has
    about 19 (chest), 20 (abdomen) or 5.5 HU (head) in the middle of the body, less towards the skin, whatever the
    pixel. Where the field shows a part only, the rays still pass the whole body.

    Args:
        kind: "chest", "abdomen" or "head".
        seed: of patient and noise.
        slices: number of slices.
        size: rows and columns.
        pixel_mm: side of a pixel in mm.
        dose: of the low dose, as a fraction.
        center_mm: see `phantom`.
        progress: is told the fraction done after each slice.

    Raises:
        ConfigError: no slices, and as `phantom` and `low_dose.dose_noise`.
    """
    if slices < 1:
        raise ConfigError("A phantom has at least one slice", where=f"slices = {slices}")
    truth, low, full = [], [], []
    photons = None
    for k, z in enumerate((np.arange(slices) - (slices - 1) / 2) * SLICE_MM):
        image = phantom(kind, seed=seed, size=size, pixel_mm=pixel_mm, center_mm=center_mm, z_mm=float(z))
        exposure = _Exposure(kind, seed, image, pixel_mm, center_mm, float(z))
        photons = photons or exposure.photons()
        noisy = image + exposure.noise(photons, 1.0, None, (seed, k, 0))
        truth.append(image)
        full.append(noisy)
        low.append(noisy if dose == 1 else noisy + exposure.noise(photons, dose, 1.0, (seed, k, 1)))
        progress((k + 1) / slices)
    affine = np.diag([pixel_mm, pixel_mm, SLICE_MM, 1.0])
    affine[:2, 3] = np.array(center_mm) - (size - 1) / 2 * pixel_mm
    affine[2, 3] = -(slices - 1) / 2 * SLICE_MM
    volumes = [CTVolume(np.stack(stack).astype(np.float32), affine) for stack in (low, full, truth)]
    return PhantomPair(volumes[0], volumes[1], volumes[2], kind)


@dataclass(frozen=True)
class _Exposure:
    """One slice and what the rays pass."""

    kind: str
    seed: int
    image: NDArray[np.float32]
    pixel_mm: float
    center_mm: tuple[float, float]
    z: float

    def photons(self) -> float:
        from ..low_dose import photons_for_noise

        # At the kernel of the pixels asked for, in the middle of the whole body.
        return photons_for_noise(self._body(), 3.0, NOISE_HU[self.kind], seen_at_mm=self.pixel_mm)

    def noise(
        self, photons: float, dose: float, original: float | None, seed: tuple[int, ...]
    ) -> NDArray[np.float32]:
        from ..low_dose import Attenuator, dose_noise

        body = None
        if len(self.image) * self.pixel_mm < WHOLE_MM or self.center_mm != (0.0, 0.0):
            body = Attenuator(self._body(), 3.0, self.center_mm)
        return dose_noise(
            self.image,
            self.pixel_mm,
            dose=dose,
            original_dose=original,
            photons=photons,
            seed=seed,
            electronic_noise=ELECTRONIC_NOISE,
            attenuator=body,
        )

    def _body(self) -> NDArray[np.float32]:
        return phantom(self.kind, seed=self.seed, size=int(WHOLE_MM / 3), pixel_mm=3.0, z_mm=self.z)
