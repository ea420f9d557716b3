"""Noise that raises the noise of an image by a wanted factor: how many photons its rays must have had."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..base import VolumeError
from .exposure import Exposure
from .noise_level import LEAST_NOISE_HU, FlatWindows

DEFAULT_PHOTONS = 5e5
ROUNDS = 6
CLOSE = 1.25  # a factor on the noise that may stand for other photons
EXPONENT = 1.6  # of photons against noise: 2 for counting noise, 1 for electronic noise


def matched_noise(images: Tensor, exposure: Exposure, dose: float, s: float) -> Tensor:
    """Noise that raises the noise of each slice by 1 / sqrt(dose) in the median of its `FlatWindows`.

    N0 is that of `Exposure.photons_for`; where the noise comes out wrong by more than a quarter it is drawn again with
    other photons. What remains is a factor on the noise, which for counting noise is the same as other photons. 5e5
    photons where a slice has no soft tissue or no noise in it. Where soft tissue is narrower than the windows, about
    15 mm, anatomy passes for noise and too much is inserted: give `photons` there.

    Args:
        images: full dose, HU, shape (slices, rows, columns).
        exposure: of these slices.
        dose: wanted, a share of that of the images.
        s: standard deviation of the electronic noise in photons.

    Returns:
        HU, shape (slices, rows, columns).

    Raises:
        VolumeError: no number of photons does it, for instance where pixels are very wide.
    """
    tissue = [_Tissue.of(image, exposure.pixel_mm) for image in images]
    sigma = images.new_tensor([part.sigma if part else 1.0 for part in tissue])
    photons = exposure.photons_for(sigma, s)
    photons[[part is None for part in tissue]] = DEFAULT_PHOTONS
    noise = torch.empty_like(images)
    left = list(range(len(images)))
    for _ in range(ROUNDS):
        index = torch.tensor(left, device=images.device)
        noise[index] = exposure[index].noise(dose, 1.0, photons[index], s)
        known = [(k, part) for k in left if (part := tissue[k])]
        factors = {k: part.factor(noise[k], 1 / dose - 1) for k, part in known}
        left = [k for k, factor in factors.items() if not 1 / CLOSE < factor < CLOSE]
        for k, factor in factors.items():
            if k in left:
                photons[k] /= min(max(factor, 1e-2), 1e2) ** EXPONENT
            else:
                noise[k] *= factor
        if not left:
            return noise
    raise VolumeError(
        f"no number of photons explains the noise of {sigma[left[0]]:.0f} HU"
        f" at pixels of {exposure.pixel_mm:.2g} mm",
        hint="Give `photons`, the unattenuated photons of a ray at full dose.",
    )


@dataclass(frozen=True, eq=False)
class _Tissue:
    """The flat windows of a slice and the variance of its own noise in each of them, HU^2."""

    windows: FlatWindows
    variance: Tensor

    @classmethod
    def of(cls, image: Tensor, pixel_mm: float) -> _Tissue | None:
        """None where the slice has no flat soft tissue, or no noise in it."""
        if (windows := FlatWindows.of(image, pixel_mm)) is None:
            return None
        tissue = cls(windows, windows.variance(image))
        return tissue if tissue.sigma >= LEAST_NOISE_HU else None

    @property
    def sigma(self) -> float:
        """HU, of the middle window."""
        return math.sqrt(self.variance.median().item())

    def factor(self, noise: Tensor, share: float) -> float:
        """By what the noise is to be multiplied to have, in the median, a share of the variance here."""
        inserted = self.windows.variance(noise)
        return math.sqrt((share * self.variance / inserted.clamp(min=1e-12)).median().item())
