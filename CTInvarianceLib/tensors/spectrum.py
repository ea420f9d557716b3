"""Power spectra, averaged over directions, and filters under the Fourier transform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

RINGS = 33
"""Frequencies at which a spectrum is kept, from 0 to the corner of the frequency plane, √½ cycles per pixel."""
_DEGREE = 5
_FAINTEST = 1e-5  # of the greatest power: below it there is rounding


@dataclass(frozen=True)
class Spectrum:
    """Power as a function of the frequency's length.

    Attributes:
        power: (RINGS,) or (N, RINGS): E|DFT|² / pixels, so that white noise of variance σ² has power σ² everywhere.
    """

    power: Tensor

    @classmethod
    def of(cls, images: Tensor) -> Self:
        """The mean spectrum of images (…, H, W), taken as periodic."""
        return cls(ring_means(power_of(images.flatten(0, -3)), images.shape[-1]).mean(0))

    def on(self, rows: int, columns: int) -> Tensor:
        """(…, rows, columns // 2 + 1): the power at the frequencies of `torch.fft.rfft2`, at least 1e-5 of the peak."""
        floor = _FAINTEST * self.power.amax(-1, keepdim=True)
        return on_plane(self.power.clamp_min(floor.clamp_min(1e-30)).log(), rows, columns).exp()

    def scaled(self, factor: float) -> Spectrum:
        """Of the images times √factor."""
        return Spectrum(self.power * factor)


def power_of(images: Tensor) -> Tensor:
    """|DFT|² / pixels of images (…, H, W), on the half plane of `rfft2`."""
    return torch.fft.rfft2(images).abs().square() / (images.shape[-2] * images.shape[-1])


def half_plane_weights(columns: int, like: Tensor) -> Tensor:
    """(columns // 2 + 1,): how many frequencies of the whole plane a column of `rfft2`'s half stands for, 1 or 2."""
    weights = like.new_full((columns // 2 + 1,), 2.0)
    weights[0] = 1
    if columns % 2 == 0:
        weights[-1] = 1
    return weights


def filtered(images: Tensor, transfer: Tensor) -> Tensor:
    """Images (…, H, W), taken as periodic, times a transfer function on the half plane of `rfft2`."""
    return torch.fft.irfft2(torch.fft.rfft2(images) * transfer, s=images.shape[-2:])


def ring_means(plane: Tensor, columns: int) -> Tensor:
    """(…, RINGS): means of values (…, H, columns // 2 + 1) on a half plane. Rings without a frequency copy the last."""
    below, share = _rings(plane.shape[-2], columns, plane)
    flat = plane.flatten(-2)
    total = plane.new_zeros(*plane.shape[:-2], RINGS)
    weight = plane.new_zeros(RINGS)
    for ring, part in ((below, 1 - share), (below + 1, share)):
        total.index_add_(-1, ring.flatten(), flat * part.flatten())
        weight.index_add_(0, ring.flatten(), part.flatten())
    means = total / weight.clamp_min(1e-12)
    for empty in (weight < 1e-6).nonzero().flatten().tolist():
        means[..., empty] = means[..., empty - 1]
    return means


def smoothed(rings: Tensor) -> Tensor:
    """Power (…, RINGS) without what is chance in it: the best polynomial of its logarithm, rings weighted by size."""
    place = torch.linspace(-1, 1, RINGS, device=rings.device, dtype=torch.float64)
    basis = torch.stack([torch.cos(k * torch.arccos(place)) for k in range(_DEGREE + 1)], dim=1)
    weights = torch.arange(RINGS, device=rings.device).clamp_min(1).double().sqrt()[:, None]
    floor = _FAINTEST * rings.amax(-1, keepdim=True).clamp_min(1e-25)
    logs = rings.clamp_min(floor).log().double()
    fitted = torch.linalg.lstsq(weights * basis, (weights * logs.reshape(-1, RINGS).T)).solution
    return (basis @ fitted).T.reshape(rings.shape).exp().to(rings)


def on_plane(rings: Tensor, rows: int, columns: int) -> Tensor:
    """(…, rows, columns // 2 + 1): values (…, RINGS), interpolated linearly between the rings."""
    below, share = _rings(rows, columns, rings)
    return rings[..., below] * (1 - share) + rings[..., below + 1] * share


def _rings(rows: int, columns: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """The ring below every frequency, and how far it lies on the way to the next."""
    vertical = torch.fft.fftfreq(rows, device=like.device)
    horizontal = torch.fft.rfftfreq(columns, device=like.device)
    place = torch.hypot(vertical[:, None], horizontal) * (2**0.5 * (RINGS - 1))
    below = place.long().clamp(max=RINGS - 2)
    return below, (place - below).to(like.dtype)
