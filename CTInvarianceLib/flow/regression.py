"""The linear part of what z tells about the latent, in closed form, with honest residuals."""

from __future__ import annotations

import torch
from torch import Tensor, nn

PENALTIES = tuple(10.0**exponent for exponent in range(-7, 2))
"""Ridge penalties that are tried, relative to the mean eigenvalue."""
MAX_ROWS = 4096
"""Rows from which the regression is computed; the decomposition takes their number cubed."""


class Ridge:
    """Ridge regression on fixed features, for any targets: decomposed once, solved for each.

    With features X (P, F) and targets Y centred, K = X Xᵀ = V diag(w) Vᵀ and G = K + λ, the fit is K G⁻¹ Y. What
    row i misses when it takes no part in the fit, intercept included, is (G⁻¹ Y)ᵢ / ((G⁻¹)ᵢᵢ − 1 / (P λ)): the
    subtracted term belongs to the intercept, along which K is zero (Allen's PRESS,
    doi:10.1080/00401706.1974.10489157).
    """

    def __init__(self, features: Tensor) -> None:
        self._features = features.cpu()  # not every accelerator computes in float64
        rows = self._features[:MAX_ROWS].double()
        self._mean = rows.mean(0)
        self._rows = rows - self._mean
        values, self._vectors = torch.linalg.eigh(self._rows @ self._rows.T)
        self._values = values.clamp_min(0)

    def solve(self, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Weights (F, d), bias (d,), and predictions (P, d) of rows that did not take part in their own fit.

        The penalty is the one with the smallest error of those predictions.
        """
        known = targets[: len(self._rows)].cpu().double()
        mean = known.mean(0)
        rotated = self._vectors.T @ (known - mean)
        best = None
        for relative in PENALTIES:
            penalty = relative * float(self._values.mean())
            shrink = 1 / (self._values + penalty)
            dual = self._vectors @ (shrink[:, None] * rotated)
            missed = dual / (self._vectors.square() @ shrink - 1 / (len(known) * penalty))[:, None]
            error = float(missed.square().mean())
            if best is None or error < best[0]:
                best = error, missed, dual
        assert best is not None  # PENALTIES is not empty
        _, missed, dual = best
        weight = self._rows.T @ dual
        bias = mean - self._mean @ weight
        rest = self._features[len(known) :].double() @ weight + bias
        predictions = torch.cat([known - missed, rest])
        return weight.to(targets), bias.to(targets), predictions.to(targets)


class LatentRegression(nn.Module):
    """m(h) = A h + b: the best linear prediction of the latent from the stem's features; not trained further.

    Args:
        features: k of the features (N, k, h, w) that take part, the leading ones.
        grid: (h, w).
        latent_dim: d.
    """

    weight: Tensor
    bias: Tensor
    importance: Tensor

    def __init__(self, features: int, grid: tuple[int, int], latent_dim: int) -> None:
        super().__init__()
        self.features = features
        self.register_buffer("weight", torch.zeros(features * grid[0] * grid[1], latent_dim))
        self.register_buffer("bias", torch.zeros(latent_dim))
        self.register_buffer("importance", torch.ones(features))

    def rows(self, h: Tensor) -> Tensor:
        """What is regressed on, (N, features·h·w): the features as large as they are in z, not standardised.

        A ridge penalty then falls on the small ones, which are mostly noise.
        """
        return (h[:, : self.features] * self.importance[:, None, None]).flatten(1)

    def forward(self, h: Tensor) -> Tensor:
        """(N, k, h, w) -> (N, d)."""
        return torch.addmm(self.bias, self.rows(h), self.weight)
