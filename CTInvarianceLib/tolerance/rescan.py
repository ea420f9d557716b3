"""How far apart two scans of one patient lie: the noise, and the unit that tolerances are counted in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from ..base import VolumeError
from ..tensors import Spectrum, filtered, power_of, ring_means, smoothed
from .layer import LocalLayer

_BLOCK, _QUANTILE = 16, 0.1
_SCANS = 8
_LEAST = 1e-4  # normalised units: 0.05 HU, below any scanner's noise


@dataclass(frozen=True)
class Noise:
    """The noise of a low-dose image, stationary.

    Attributes:
        spectrum: of the low-dose image's noise, normalised units.
        dose: of the low-dose image, a fraction of the full one.
    """

    spectrum: Spectrum
    dose: float

    @classmethod
    def between(cls, low: Tensor, full: Tensor, dose: float) -> Self:
        """Of pairs (…, H, W): what the low dose has more than the full dose is a share 1 − dose of its noise."""
        return cls(Spectrum(smoothed(Spectrum.of(low - full).power)).scaled(1 / (1 - dose)), dose)

    @classmethod
    def of_scan(cls, realisation: Tensor, dose: float) -> Self:
        """Of low-dose noise itself, (…, H, W), as the low-dose simulation makes it."""
        return cls(Spectrum(smoothed(Spectrum.of(realisation).power)), dose)

    @classmethod
    def within(cls, image: Tensor, dose: float) -> Self:
        """Of one image (1, 1, H, W) alone, where nothing else is known.

        From the tenth of its blocks of 16×16 pixels that hold least at a frequency: a periodogram's first decile
        is −ln 0.9 of its mean. Anatomy that fills the image adds to it.

        Raises:
            VolumeError: an image smaller than a block.
        """
        if min(image.shape[-2:]) < _BLOCK:
            raise VolumeError(
                f"noise cannot be read from {image.shape[-2]}×{image.shape[-1]} pixels",
                hint=f"Take {_BLOCK}×{_BLOCK} or more.",
            )
        blocks = image[0, 0].unfold(0, _BLOCK, _BLOCK // 2).unfold(1, _BLOCK, _BLOCK // 2).flatten(0, 1)
        window = torch.hann_window(_BLOCK, device=image.device)
        window = window[:, None] * window
        power = power_of((blocks - blocks.mean((1, 2), keepdim=True)) * window) / window.square().mean()
        decile = power.quantile(_QUANTILE, dim=0) / -math.log(1 - _QUANTILE)
        decile[0, 0] = decile[0, 1]
        return cls(Spectrum(smoothed(ring_means(decile, _BLOCK))), dose)

    def draw(self, count: int, rows: int, columns: int, *, generator: torch.Generator) -> Tensor:
        """Low-dose noise, (count, 1, rows, columns)."""
        white = torch.randn(count, 1, rows, columns, generator=generator).to(self.spectrum.power)
        return filtered(white, self.spectrum.on(rows, columns).sqrt())

    def deviation(self) -> float:
        """Of a pixel, normalised units."""
        return float(self.spectrum.on(64, 64).mean().sqrt())


def one_rescan(layer: LocalLayer, noise: Noise, *, seed: int = 0) -> float:
    """Root of E‖J n‖² / P, n the noise of a full-dose scan, at the images where the layer was linearised.

    ε is τ times this. Where the layer does not answer to noise at all, any ε says the same: 1.
    """
    generator = torch.Generator().manual_seed(seed)
    inner = layer.view.inner
    scans = noise.draw(_SCANS, inner.height, inner.width, generator=generator) * noise.dose**0.5
    total = sum(float(layer.forward(part).square().sum()) for part in scans.split(2))
    return unit_of(math.sqrt(total / _SCANS / layer.pixels))


def unit_of(rescan: float) -> float:
    """The unit itself, or 1 where it is nothing."""
    return rescan if rescan > _LEAST**2 else 1.0
