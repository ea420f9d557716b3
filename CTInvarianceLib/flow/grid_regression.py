"""The linear part of what z tells about a latent grid, in closed form."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..base import DataError

PENALTY = 1e-6
"""Ridge penalty, relative to the mean eigenvalue: against round-off; there are far more cells than features."""


class GridRegression(nn.Module):
    """m(h) = A ∗ h + b: the best linear prediction of a cell from the features of it and its neighbours.

    Args:
        features: k of the feature maps (N, k, h, w) that take part, the leading ones.
        channels: c of the latent.
        size: sides of the neighbourhood, in cells, odd.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, features: int, channels: int, size: int = 3) -> None:
        super().__init__()
        self.features, self.size = features, size
        self.register_buffer("weight", torch.zeros(channels, features, size, size))
        self.register_buffer("bias", torch.zeros(channels))

    def forward(self, h: Tensor) -> Tensor:
        """(N, k, h, w) -> (N, c, h, w)."""
        return F.conv2d(h[:, : self.features], self.weight, self.bias, padding=self.size // 2)

    @torch.no_grad()
    def fit(self, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
        """Solve the normal equations over all cells of pairs of features (N, k, h, w) and latents (N, c, h, w).

        Returns:
            The share of the latents' variance that is left unexplained, of the same cells.

        Raises:
            DataError: no batches.
        """
        width = self.features * self.size**2 + 1
        channels, count = len(self.bias), 0
        gram, cross, square = (
            torch.zeros(*shape, dtype=torch.float64)
            for shape in ((width, width), (width, channels), (channels, channels))
        )
        for h, latent in batches:
            columns = (
                F.unfold(h[:, : self.features], self.size, padding=self.size // 2)
                .movedim(1, -1)
                .flatten(0, 1)
            )
            rows = torch.cat((columns, columns.new_ones(len(columns), 1)), dim=1)
            targets = latent.movedim(1, -1).flatten(0, -2)
            gram += (rows.T @ rows).cpu().double()
            cross += (rows.T @ targets).cpu().double()
            square += (targets.T @ targets).cpu().double()
            count += len(rows)
        if not count:
            raise DataError("there are no latents to fit the regression on")
        ridge = PENALTY * gram.diagonal()[:-1].mean()
        penalty = torch.cat((ridge.expand(width - 1), ridge.new_zeros(1)))
        solution = torch.linalg.solve(gram + torch.diag(penalty), cross)
        self.weight.copy_(solution[:-1].T.reshape(self.weight.shape))
        self.bias.copy_(solution[-1])
        left = square - 2 * solution.T @ cross + solution.T @ gram @ solution
        mean = cross[-1] / count
        variance = square.diagonal() / count - mean.square()
        return float(left.diagonal().sum() / count / variance.sum())
