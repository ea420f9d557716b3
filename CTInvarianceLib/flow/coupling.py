"""The affine coupling: the only place where the condition meets the latent."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from .layers import linear

Half = Literal["first", "second"]


class AffineCoupling(nn.Module):
    """y_a = x_a, y_b = x_b ⊙ exp(s) + t with (s, t) = MLP(x_a, context); log|det| = Σ s.

    Half a passes and half b is transformed; for odd d the second half is the longer one. The scale is
    clamped softly, s = c·tanh(ŝ), so |s| ≤ c. The last layer starts at zero, so the coupling starts as the
    identity. The context (N, hidden), or (1, hidden) for all rows, is added to the first layer before its
    activation and includes that layer's bias; `ContextProjection` computes it from the condition.

    Dinh et al., Real NVP, 2017, arXiv:1605.08803. Condition as a further input of the subnetwork and soft
    clamping: Ardizzone et al., 2019, arXiv:1907.02392.

    Args:
        features: number of dimensions d, at least 2.
        hidden: width of the hidden layers.
        depth: number of hidden layers, at least 1.
        clamp: c.
        transforms: which half is b.
        generator: draws the first weights.
    """

    def __init__(
        self,
        features: int,
        *,
        hidden: int,
        depth: int = 2,
        clamp: float = 2.0,
        transforms: Half = "second",
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.clamp, self.transforms = clamp, transforms
        self.split = (features // 2, features - features // 2)
        passive, active = self.split if transforms == "second" else self.split[::-1]
        self.first = linear(passive, hidden, bias=False, generator=generator)
        layers: list[nn.Module] = [nn.SiLU()]
        for _ in range(depth - 1):
            layers += [linear(hidden, hidden, generator=generator), nn.SiLU()]
        last = linear(hidden, 2 * active, generator=generator)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.rest = nn.Sequential(*layers, last)

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """y (N, d) and log|det| (N,)."""
        passive, active = self._halves(x)
        log_scale, shift = self._scale_and_shift(passive, context)
        return self._join(passive, torch.addcmul(shift, active, log_scale.exp())), log_scale.sum(1)

    def inverse(self, y: Tensor, context: Tensor) -> Tensor:
        """x with x_b = (y_b - t) ⊙ exp(-s)."""
        passive, active = self._halves(y)
        log_scale, shift = self._scale_and_shift(passive, context)
        return self._join(passive, (active - shift) / log_scale.exp())

    def _scale_and_shift(self, passive: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        features = torch.addmm(context, passive, self.first.weight.t())
        log_scale, shift = self.rest(features).chunk(2, dim=1)
        return self.clamp * torch.tanh(log_scale), shift

    def _halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = x.split(self.split, dim=1)
        return (first, second) if self.transforms == "second" else (second, first)

    def _join(self, passive: Tensor, active: Tensor) -> Tensor:
        return torch.cat((passive, active) if self.transforms == "second" else (active, passive), dim=1)


class ContextProjection(nn.Module):
    """context_i = c W_i + b_i: what the condition c adds to the first layer of coupling i.

    It does not depend on the latent. So all blocks share one batched product, and one condition for many
    latents is projected once.

    Args:
        condition_dim: length of c; 0 leaves only the biases b_i.
        blocks: number of blocks.
        hidden: width of the couplings' hidden layers.
        generator: draws the first weights.
    """

    def __init__(self, condition_dim: int, *, blocks: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(blocks, 1, hidden))
        self.weight: nn.Parameter | None = None
        if condition_dim:
            bound = condition_dim**-0.5
            weight = torch.empty(blocks, condition_dim, hidden)
            self.weight = nn.Parameter(weight.uniform_(-bound, bound, generator=generator))

    def forward(self, condition: Tensor | None) -> tuple[Tensor, ...]:
        """One context per block: (N, hidden) for a condition (N, c), (1, hidden) where there is none."""
        if self.weight is None or condition is None:
            return self.bias.unbind()
        rows = condition.expand(len(self.weight), -1, -1)
        return torch.baddbmm(self.bias, rows, self.weight).unbind()
