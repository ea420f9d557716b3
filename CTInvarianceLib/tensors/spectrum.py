"""Power spectra, averaged over directions, and filters under the Fourier transform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

RINGS = 33
"""Frequencies at which a spectrum is kept, from 0 to the corner of the frequency plane, √½ cycles per pixel."""
_STIFFNESS = (
    10.0  # of smoothed spectra: a jump of the third difference counts as much as so many misread frequencies
)
_FADED = 1.5  # frequencies that `fade` lets run into one
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
        """The mean spectrum of images (…, H, W) that are pieces of larger ones."""
        return cls(piece_power(images.flatten(0, -3)).mean(0))

    def on(self, rows: int, columns: int) -> Tensor:
        """(…, rows, columns // 2 + 1): the power at the frequencies of `torch.fft.rfft2`, at least 1e-5 of the peak."""
        floor = _FAINTEST * self.power.amax(-1, keepdim=True)
        return on_plane(self.power.clamp_min(floor.clamp_min(1e-30)).log(), rows, columns).exp()

    def scaled(self, factor: float) -> Spectrum:
        """Of the images times √factor."""
        return Spectrum(self.power * factor)


def piece_power(images: Tensor, over: Tensor | float = 1.0) -> Tensor:
    """The power of every image (…, H, W), a piece of a larger one, (…, RINGS).

    A piece, taken as periodic, has an edge where a period begins, whose power lies on top of all frequencies: so it
    is faded out towards its borders.

    Args:
        images: pieces.
        over: divides it, on the half plane of `rfft2`.
    """
    return ring_means(power_of(images * fade(images)) / over, images.shape[-1])


def fade(images: Tensor) -> Tensor:
    """Half a sine over rows and columns, (H, W), whose mean square is 1."""
    rows, columns = (
        ((torch.arange(side, device=images.device) + 0.5) * (torch.pi / side)).sin()
        for side in images.shape[-2:]
    )
    window = rows[:, None] * columns
    return (window / window.square().mean().sqrt()).to(images)


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


def ring_counts(side: int, like: Tensor) -> Tensor:
    """(RINGS,): numbers that the mean over a ring rests on, of a faded piece of side × side pixels."""
    below, share = _rings(side, side, like)
    weights, counts = half_plane_weights(side, like).expand_as(share), like.new_zeros(RINGS)
    for ring, part in ((below, 1 - share), (below + 1, share)):
        counts.index_add_(0, ring.flatten(), (part * weights).flatten())
    return counts / _FADED


def smoothed(rings: Tensor) -> Tensor:
    """Power (…, RINGS) without what is chance in it: of its logarithm, by the size of rings (Whittaker 1922).

    Rings of high frequencies hold hundreds of numbers and stay as they are; those of low ones follow their neighbours.
    """
    weights = ring_counts(64, rings).double() / 2  # 1 / variance of a logarithm
    third = torch.eye(RINGS, device=rings.device, dtype=torch.float64).diff(dim=0).diff(dim=0).diff(dim=0)
    floor = _FAINTEST * rings.amax(-1, keepdim=True).clamp_min(1e-25)
    logs = rings.clamp_min(floor).log().double()
    stiff = weights.diag() + _STIFFNESS * third.T @ third
    fitted = torch.linalg.solve(stiff, (weights * logs).reshape(-1, RINGS).T)
    return fitted.T.reshape(rings.shape).exp().to(rings)


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
