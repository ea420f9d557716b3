"""The conditional invertible network t(· given z) for vector latents."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..base import ConfigError
from .block import FlowBlock
from .coupling import ContextProjection
from .interface import Flow, Standardise, check_at_least, check_condition


class ConditionalFlow(Flow):
    """v = t(z̄ given z) for vectors z̄ (N, d).

    Each block is an activation normalisation and an affine coupling. Blocks 0, 2, … transform the second half of
    the dimensions and blocks 1, 3, … the first half, so two blocks transform every dimension; a random fixed
    permutation after every second block draws new halves. The condition, standardised with the statistics of the
    first batch, enters every coupling.

    Rombach et al., Network-to-Network Translation with Conditional Invertible Neural Networks, 2020,
    arXiv:2005.13580.

    Args:
        latent_dim: d, at least 2.
        condition_dim: length c of the condition vector; 0: unconditional.
        blocks: number of blocks, at least 2.
        hidden: width of the couplings' hidden layers.
        depth: number of hidden layers of each coupling.
        clamp: largest |log scale| of a coupling.
        condition_network: maps what is passed as condition, for instance features (N, k, h, w), to the
            condition vector (N, c); trained and saved with the flow. None: conditions are vectors.
        seed: fixes first weights and permutations.

    Raises:
        ConfigError: a size that is not possible.
    """

    initialised: Tensor

    def __init__(
        self,
        latent_dim: int,
        condition_dim: int,
        blocks: int = 12,
        hidden: int = 1024,
        *,
        depth: int = 2,
        clamp: float = 2.0,
        condition_network: nn.Module | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_at_least(2, latent_dim=latent_dim, blocks=blocks)
        check_at_least(int(condition_network is not None), condition_dim=condition_dim)
        check_at_least(1, hidden=hidden, depth=depth)
        generator = torch.Generator().manual_seed(seed)
        self.latent_dim, self.condition_dim = latent_dim, condition_dim
        self.condition_network = condition_network
        self.projection = ContextProjection(condition_dim, blocks=blocks, hidden=hidden, generator=generator)
        self.blocks = nn.ModuleList(
            FlowBlock(
                latent_dim,
                hidden=hidden,
                depth=depth,
                clamp=clamp,
                transforms="first" if index % 2 else "second",
                permutes=index % 2 == 1,
                generator=generator,
            )
            for index in range(blocks)
        )
        self.standardise = Standardise(condition_dim)
        self.register_buffer("initialised", torch.tensor(False))

    def forward(self, latent: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """v (N, d) and log|det ∂v/∂z̄| (N,) in nats.

        Args:
            latent: z̄ (N, d).
            condition: z (N, c), or (1, c) for all latents; what the condition network takes, if there is
                one; None for an unconditional flow.

        Raises:
            ConfigError: shapes that do not fit the flow or each other.
        """
        contexts = self._contexts(latent, condition)
        v, log_det = latent, latent.new_zeros(len(latent))
        for block, context in zip(self.blocks, contexts, strict=True):
            v, block_log_det = block(v, context)
            log_det = log_det + block_log_det
        return v, log_det

    def inverse(self, v: Tensor, condition: Tensor | None = None) -> Tensor:
        """z̄ (N, d) with forward(z̄, condition)[0] = v; arguments and errors as for `forward`."""
        contexts = self._contexts(v, condition)
        for index in reversed(range(len(self.blocks))):
            v = self.blocks[index].inverse(v, contexts[index])  # type: ignore[operator]
        return v

    @torch.no_grad()
    def initialise(self, latent: Tensor, condition: Tensor | None = None) -> None:
        """Sets every ActNorm and the standardisation of the condition from one batch; `fit` does so once.

        Args and errors as for `forward`.
        """
        if condition is not None and self.condition_dim:
            self.standardise.initialise(self._condition_vector(condition))
        for block, context in zip(self.blocks, self._contexts(latent, condition), strict=True):
            block.normalisation.initialise(latent)  # type: ignore[operator, union-attr]
            latent, _ = block(latent, context)
        self.initialised.fill_(True)

    def _contexts(self, latent: Tensor, condition: Tensor | None) -> tuple[Tensor, ...]:
        """What the condition adds to each coupling, after all shapes have been checked."""
        if latent.ndim != 2 or latent.shape[1] != self.latent_dim:
            raise ConfigError(f"latents must be (N, {self.latent_dim})", where=tuple(latent.shape))
        expected = f"(N, {self.condition_dim})"
        check_condition(condition, len(latent), expected=expected, none=self.condition_dim == 0)
        vector = None if condition is None else self.standardise(self._condition_vector(condition))
        contexts: tuple[Tensor, ...] = self.projection(vector)
        return contexts

    def _condition_vector(self, condition: Tensor) -> Tensor:
        network = self.condition_network
        vector: Tensor = condition if network is None else network(condition)
        if vector.ndim != 2 or vector.shape[1] != self.condition_dim:
            raise ConfigError(f"conditions must be (N, {self.condition_dim})", where=tuple(vector.shape))
        return vector
