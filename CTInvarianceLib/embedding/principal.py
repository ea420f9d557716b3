"""The linear autoencoder in closed form: where the embedding starts from.

A linear VAE's optimum is known: probabilistic PCA (Tipping & Bishop 1999, doi:10.1111/1467-9868.00196;
Lucas et al. 2019, arXiv:1911.02469). Starting there, the network need only learn what is not linear.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


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
        return float(self.variances.sum()) / max(self.total_variance, 1e-30)


def principal_components(samples: Tensor, count: int, *, seed: int = 0) -> PrincipalComponents:
    """The `count` leading principal components of samples, (N, p), by randomised SVD (arXiv:0909.4061)."""
    mean = samples.mean(0)
    centred = samples - mean
    generator = torch.Generator(samples.device).manual_seed(seed)
    width = min(count + 16, *samples.shape)
    basis = torch.randn(samples.shape[1], width, generator=generator, device=samples.device).to(samples)
    for _ in range(3):  # subspace iteration: CT patches have slowly falling spectra
        basis = torch.linalg.qr(centred.T @ (centred @ basis)).Q
    _, singular, directions = torch.linalg.svd(centred @ basis, full_matrices=False)
    variances = singular.square() / max(len(samples) - 1, 1)
    kept = (directions @ basis.T)[:count]
    return PrincipalComponents(
        mean, kept, variances[:count], float(centred.square().sum(0).sum()) / max(len(samples) - 1, 1)
    )
