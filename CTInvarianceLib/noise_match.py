"""Noise that raises the noise of an image by a wanted factor: how many photons its rays must have had."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .errors import VolumeError
from .exposure import Exposure
from .noise_level import LEAST_NOISE_HU, NoisySum, soft_tissue_noise

DEFAULT_PHOTONS = 5e5
ROUNDS = 6
EXPONENT = 1.6  # between 2, right for counting noise, and 1, right for electronic noise
CLOSE = math.log(1.25)  # a factor on the noise that may stand for other photons


def matched_noise(images: Tensor, exposure: Exposure, dose: float, s: float) -> Tensor:
    """Noise that raises `soft_tissue_noise` of each slice by 1 / sqrt(dose).

    N0 is that of `Exposure.photons_for`; where the noise comes out wrong by more than a quarter it is drawn again with
    other photons, as noise falls as N0^-q, q = 1/2 for counting and 1 for electronic noise. What remains is a factor
    on the noise, which for counting noise is the same as other photons. 5e5 photons where a slice has no soft tissue
    or no noise in it. Where soft tissue is narrower than the windows, anatomy passes for noise and too much is
    inserted: give `photons` there.

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
    levels = [soft_tissue_noise(image, exposure.pixel_mm) for image in images]
    known = [level is not None and level >= LEAST_NOISE_HU for level in levels]
    wanted = images.new_tensor([level if ok else 1.0 for level, ok in zip(levels, known, strict=True)])
    photons = exposure.photons_for(wanted, s)
    photons[~torch.tensor(known, device=images.device)] = DEFAULT_PHOTONS
    noise = torch.empty_like(images)
    left = list(range(len(images)))
    for _ in range(ROUNDS):
        index = torch.tensor(left, device=images.device)
        noise[index] = exposure[index].noise(dose, 1.0, photons[index], s)
        again = []
        for k in left:
            if not known[k]:
                continue
            target = (levels[k] or 0.0) / math.sqrt(dose)
            scale = NoisySum.of(images[k], noise[k], exposure.pixel_mm).scale_for(target)
            if abs(math.log(scale)) < CLOSE:
                noise[k] *= scale
            else:
                photons[k] *= scale**-EXPONENT
                again.append(k)
        left = again
        if not left:
            return noise
    level = levels[left[0]]
    raise VolumeError(
        f"no number of photons explains the noise of {level:.0f} HU at pixels of {exposure.pixel_mm:.2g} mm",
        hint="Give `photons`, the unattenuated photons of a ray at full dose.",
    )
