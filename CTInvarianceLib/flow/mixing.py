"""The linear bijection of grids: every cell's channels, mixed."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .bijections import STD_FLOOR


class ChannelMixing(nn.Module):
    """y = W x + b in every cell, W = P L U; log|det| = h w Σ log|U_ii|.

    P is a fixed permutation, L unit lower and U upper triangular with diagonal ± exp(s), so that the determinant
    costs nothing: the invertible 1×1 convolution of Glow (Kingma & Dhariwal 2018, arXiv:1807.03039, section 3.2).
    W starts as a random rotation. `initialise` whitens a batch before it is rotated: what activation normalisation
    does for each channel, it does for all of them together, so no such layer stands beside it.

    Args:
        channels: number of channels c.
        generator: draws the rotation.
    """

    order: Tensor
    sign: Tensor

    def __init__(self, channels: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.lower = nn.Parameter(torch.empty(channels, channels))
        self.upper = nn.Parameter(torch.empty(channels, channels))
        self.log_scale = nn.Parameter(torch.empty(channels))
        self.shift = nn.Parameter(torch.zeros(channels))
        self.register_buffer("order", torch.arange(channels))
        self.register_buffer("sign", torch.ones(channels))
        self._set(
            torch.linalg.qr(torch.randn(channels, channels, generator=generator, dtype=torch.float64)).Q
        )

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Let a batch (N, c, h, w) leave with mean 0 and covariance 1; constant directions are only centred."""
        rows = x.movedim(1, -1).flatten(0, -2).cpu().double()
        mean = rows.mean(0)
        variances, directions = torch.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
        scale = torch.where(variances > STD_FLOOR**2, variances, 1.0).rsqrt()
        # The symmetric root: eigenvectors alone may turn round by what is nothing but rounding.
        weight = self.weight().cpu().double() @ (directions * scale) @ directions.T
        self._set(weight)
        self.shift.copy_(-weight @ mean)

    def weight(self) -> Tensor:
        """W (c, c)."""
        lower, upper = self._triangles()
        return (lower @ upper)[self.order]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """y (N, c, h, w) and log|det| (N,)."""
        y = F.conv2d(x, self.weight()[:, :, None, None], self.shift)
        return y, (x.shape[2] * x.shape[3] * self.log_scale.sum()).expand(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """x = W⁻¹ (y − b)."""
        # In double precision, and not on every accelerator: it halves the error of a round trip and costs nothing.
        weight = torch.linalg.inv(self.weight().cpu().double()).to(y)
        return F.conv2d(y - self.shift[:, None, None], weight[:, :, None, None])

    def _triangles(self) -> tuple[Tensor, Tensor]:
        identity = torch.eye(len(self.shift), dtype=self.lower.dtype, device=self.lower.device)
        upper = self.upper.triu(1) + torch.diag(self.sign * self.log_scale.exp())
        return self.lower.tril(-1) + identity, upper

    @torch.no_grad()
    def _set(self, weight: Tensor) -> None:
        permutation, lower, upper = torch.linalg.lu(weight)
        self.order.copy_(permutation.argmax(1))
        self.lower.copy_(lower.tril(-1))
        self.upper.copy_(upper.triu(1))
        self.sign.copy_(upper.diagonal().sign())
        self.log_scale.copy_(upper.diagonal().abs().log())
