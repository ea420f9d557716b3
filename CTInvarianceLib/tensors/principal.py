"""Principal components by randomised subspace iteration (Halko et al. 2011, arXiv:0909.4061)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_OVERSAMPLING, _ITERATIONS = 16, 5  # CT patches have slowly falling spectra


@dataclass(frozen=True)
class PrincipalComponents:
    """x ≈ mean + Σᵢ zᵢ √λᵢ uᵢ, with zᵢ of unit variance.

    Attributes:
        mean: (p,), the mean vector.
        directions: (d, p), orthonormal rows uᵢ, by falling λ.
        variances: (d,), λᵢ.
        total_variance: Σ of all variances, of the dropped directions too.
    """

    mean: Tensor
    directions: Tensor
    variances: Tensor
    total_variance: float

    @property
    def explained(self) -> float:
        """Fraction of the variance that the kept directions hold."""
        return float(self.variances.sum()) / self.total_variance


def principal_components(samples: Tensor, count: int, *, seed: int = 0) -> PrincipalComponents:
    """The `count` leading principal components of samples, (N, p), with count ≤ min(N, p)."""
    mean = samples.mean(0)
    centred = samples - mean
    generator = torch.Generator().manual_seed(seed)
    width = min(count + _OVERSAMPLING, *samples.shape)
    basis = torch.randn(samples.shape[1], width, generator=generator).to(samples)
    for _ in range(_ITERATIONS):
        basis = torch.linalg.qr(centred.T @ (centred @ basis)).Q
    _, singular, rotation = torch.linalg.svd(centred @ basis, full_matrices=False)
    directions = (rotation @ basis.T)[:count]
    # The sign of a direction is arbitrary; its largest entry is made positive.
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    variances = singular[:count].square() / len(samples)
    total = float(centred.square().sum()) / len(samples)
    return PrincipalComponents(mean, directions * largest.sign(), variances, total)
