"""The frozen first stage of the condition: principal components of the blocks of a representation."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base import ConfigError, DataError
from ..tensors import principal_components

MAX_ROWS = 8192
"""Blocks that `BlockPCA.fit` keeps: 134 MB for 64 channels."""
RANK_FLOOR = 1e-10
"""A component whose variance, relative to the first one's, is below this is round-off."""


class BlockPCA(nn.Module):
    """h_k = u_kᵀ (b - μ) / √λ_k for every block b of z, with u_k, λ_k the leading principal components.

    A strided convolution that no training changes, so its output can be computed once per patch and kept.
    `importance` is √(λ_k / λ_1), the size that h_k has in z.

    Args:
        channels: C of z.
        components: k, number of principal components kept; at most block² C.
        block: sides of the blocks, in cells of z.

    Raises:
        ConfigError: a size that is not possible.
    """

    weight: Tensor
    bias: Tensor
    explained_variance: Tensor
    importance: Tensor

    def __init__(self, channels: int, components: int = 32, block: int = 8) -> None:
        super().__init__()
        if not 1 <= components <= channels * block**2:
            raise ConfigError(f"components must be 1 to {channels * block**2}", where=components)
        self.channels, self.components, self.block = channels, components, block
        self.register_buffer("weight", torch.zeros(components, channels, block, block))
        self.register_buffer("bias", torch.zeros(components))
        self.register_buffer("explained_variance", torch.tensor(float("nan")))
        self.register_buffer("importance", torch.zeros(components))

    def forward(self, z: Tensor) -> Tensor:
        """Components (N, k, H/block, W/block), each of mean 0 and variance 1 over the blocks of `fit`.

        Raises:
            ConfigError: wrong channels, a side that is no multiple of the block, or not fitted yet.
        """
        self._check(z)
        if self.explained_variance.isnan():
            raise ConfigError("the principal components are not fitted", hint="Call fit or load weights.")
        return F.conv2d(z, self.weight, self.bias, stride=self.block)

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor], *, seed: int = 0) -> float:
        """Fits the components to a uniform random sample of at most 8192 blocks of all batches.

        Args:
            batches: tensors z (N, C, H, W).
            seed: fixes the sample and the randomised decomposition (Halko et al., 2011, arXiv:0909.4061).

        Returns:
            The share of the sample's variance that the components explain.

        Raises:
            ConfigError: shapes as in `forward`.
            DataError: fewer blocks than components, values that are not finite, or no variance.
        """
        generator = torch.Generator().manual_seed(seed)
        blocks = self._sample(batches, generator).to(self.weight)
        if len(blocks) <= self.components:
            raise DataError(f"{len(blocks)} blocks are too few for {self.components} components")
        if not blocks.isfinite().all():
            raise DataError("the representation holds values that are not finite")
        found = principal_components(blocks, self.components, seed=seed)
        if found.total_variance == 0:
            raise DataError("the representation is constant: it has no principal components")
        kept = found.variances > RANK_FLOOR * found.variances[0]
        rows = found.directions * (torch.where(kept, found.variances, 1.0).rsqrt() * kept)[:, None]
        self.weight.copy_(rows.reshape(self.weight.shape))
        self.bias.copy_(-rows @ found.mean)
        self.importance.copy_((found.variances / found.variances[0]).sqrt())
        self.explained_variance.fill_(found.explained)
        return float(self.explained_variance)

    def _sample(self, batches: Iterable[Tensor], generator: torch.Generator) -> Tensor:
        """Every block draws a random key; the blocks with the largest keys stay."""
        blocks = torch.empty(0, self.channels * self.block**2)
        keys = torch.empty(0)
        for z in batches:
            self._check(z)
            new = F.unfold(z.float().cpu(), self.block, stride=self.block).mT.flatten(0, 1)
            new_keys = torch.rand(len(new), generator=generator)
            if len(keys) == MAX_ROWS:
                new, new_keys = new[new_keys > keys.min()], new_keys[new_keys > keys.min()]
            blocks, keys = torch.cat((blocks, new)), torch.cat((keys, new_keys))
            keys, order = keys.topk(min(MAX_ROWS, len(keys)))
            blocks = blocks[order]
        return blocks

    def _check(self, z: Tensor) -> None:
        if z.ndim != 4 or z.shape[1] != self.channels:
            raise ConfigError(f"z must be (N, {self.channels}, H, W)", where=tuple(z.shape))
        if z.shape[2] % self.block or z.shape[3] % self.block:
            raise ConfigError(
                f"height and width of z must be multiples of {self.block}", where=tuple(z.shape)
            )
