"""Noise as a lower dose adds it to an image whose own noise is known: how many photons its rays must have had."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..base import VolumeError
from .exposure import Exposure
from .noise_level import LEAST_NOISE_HU, FlatWindows

DEFAULT_PHOTONS = 5e5
ROUNDS = 6
CLOSE = (
    1.8  # a factor on the noise that may stand for other photons: the share of electronic noise is told anew
)
FINER = 1.1  # the most by which noise is stronger than its finest part tells: up to 1.05 in slices without anatomy
LEAST_FACTOR = 1e-2
SEEN_AT = 100  # windows, evenly chosen, that tell the share of electronic noise
EXPONENT = 1.6  # of photons against noise: 2 for counting noise, 1 for electronic noise


def matched_noise(images: Tensor, exposure: Exposure, dose: float, s: float) -> Tensor:
    """Noise that a lower dose adds to slices with the noise that is seen in the median of their `FlatWindows`.

    Of counting noise that is 1 / dose - 1 times their variance; of electronic noise, where few photons arrive, up to
    1 / dose^2 - 1, see `Exposure.growth`. N0 is that of `Exposure.photons_for`; where the noise comes out wrong by more
    than 1.8 times it is drawn again with other photons. What remains is a factor on the noise, which for counting noise
    is the same as other photons. 5e5 photons where a slice has no soft tissue or no noise in it.

    Anatomy passes for noise where soft tissue is narrower than the windows, about 15 mm. It has least of the shortest
    waves: the noise is at most 1.1 times as strong as those tell.

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
        growth = {
            k: partial(exposure.growth, k, part.windows.centers(SEEN_AT), dose, s=s) for k, part in known
        }
        factors = {k: part.factor(noise[k], growth[k], photons[k].item()) for k, part in known}
        left = [k for k, factor in factors.items() if not 1 / CLOSE < factor < CLOSE]
        for k, factor in factors.items():
            if k in left:
                photons[k] /= min(factor, 1e2) ** EXPONENT
            else:
                noise[k] *= factor
        if not left:
            return noise
    raise VolumeError(
        f"no number of photons explains the noise of {sigma[left[0]]:.0f} HU"
        f" at pixels of {exposure.pixel_mm:.2g} mm",
        hint="Give `photons`, the unattenuated photons of a ray at full dose.",
    )


Growth = Callable[[float], float]
"""N0 -> what a lower dose adds to the variance, as a multiple of it."""


@dataclass(frozen=True, eq=False)
class _Tissue:
    """The flat windows of a slice and the variance of its own noise in each of them, HU^2."""

    windows: FlatWindows
    variance: Tensor
    fine: Tensor

    @classmethod
    def of(cls, image: Tensor, pixel_mm: float) -> _Tissue | None:
        """None where the slice has no flat soft tissue, or no noise in it."""
        if (windows := FlatWindows.of(image, pixel_mm)) is None:
            return None
        tissue = cls(windows, windows.variance(image), windows.fine_variance(image))
        return tissue if tissue.sigma >= LEAST_NOISE_HU else None

    @property
    def sigma(self) -> float:
        """HU, of the middle window."""
        return math.sqrt(self.variance.median().item())

    def factor(self, noise: Tensor, growth: Growth, photons: float) -> float:
        """By what noise, drawn with these photons, is to be multiplied to be what the lower dose adds."""
        whole = _median_ratio(self.variance, self.windows.variance(noise))
        finest = _median_ratio(self.fine, self.windows.fine_variance(noise))
        own = min(whole, FINER**2 * finest)
        factor = 1.0
        for _ in range(2):  # other noise means other photons, and these another share of electronic noise
            factor = max(math.sqrt(growth(photons / factor**2) * own), LEAST_FACTOR)
        return factor


def _median_ratio(one: Tensor, other: Tensor) -> float:
    return (one / other.clamp(min=1e-12)).median().item()
