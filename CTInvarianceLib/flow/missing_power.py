"""What of an image Ψ(z) lacks, frequency by frequency: noise, and anatomy."""

from __future__ import annotations

import torch
from torch import Tensor

from ..tensors import RINGS, ring_counts

_CLEARLY = 0.98  # less left unexplained: else the simpler explanation stays


@torch.no_grad()
def explained(missing: Tensor, noise: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Share and extra, (RINGS,) each: log missing ≈ log(share · noise + extra), by least squares for every ring.

    Where a kernel leaves no noise, what is missing is anatomy: a share alone would have to be enormous there, for all.

    Args:
        missing: (P, RINGS), the power of what Ψ(z) lacks of images.
        noise: (P, RINGS), of their noise.
        side: of the images, pixels.
    """
    wanted = missing.clamp_min(1e-30).log() - log_bias(ring_counts(side, missing))
    known = noise.clamp_min(1e-30)
    best = missing.new_full((RINGS,), torch.inf)
    share, extra = torch.ones_like(best), torch.zeros_like(best)
    for floor in torch.logspace(-6, 3, 91).tolist():  # extra over share, in units of the mean noise
        added = floor * known.log().mean(0).exp()
        left = wanted - (known + added).log()
        spread, scale = left.var(0), left.mean(0).exp()
        better = spread < _CLEARLY * best
        best = torch.where(better, spread, best)
        share, extra = torch.where(better, scale, share), torch.where(better, scale * added, extra)
    return share, extra


def log_bias(counts: Tensor) -> Tensor:
    """E log(χ² / n) of n normal numbers: the logarithm of a mean square, averaged, is too low by this."""
    half = counts.clamp_min(1) / 2
    return torch.special.digamma(half) - half.log()
