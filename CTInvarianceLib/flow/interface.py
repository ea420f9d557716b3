"""What vector and grid flows have in common: the likelihood, and how it is maximised."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from ..base import ConfigError
from .bijections import STD_FLOOR
from .likelihood import maximise_likelihood


class Flow(nn.Module):
    """v = t(z̄ given z): a bijection of z̄ for every z, trained so that v ~ N(0, 1).

    log p(z̄ given z) = log N(v; 0, 1) + log|det ∂v/∂z̄|.

    Attributes:
        initialised: whether the scales have been set from a batch.
    """

    initialised: Tensor

    @abstractmethod
    def forward(self, latent: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """v, of the latent's shape, and log|det ∂v/∂z̄| (N,) in nats."""

    @abstractmethod
    def inverse(self, v: Tensor, condition: Tensor | None = None) -> Tensor:
        """z̄ with forward(z̄, condition)[0] = v; arguments and errors as for `forward`."""

    @abstractmethod
    def initialise(self, latent: Tensor, condition: Tensor | None = None) -> None:
        """Set the scales from one batch; `fit` does so once."""

    def log_prob(self, latent: Tensor, condition: Tensor | None = None) -> Tensor:
        """log p(z̄ given z) (N,) in nats; arguments and errors as for `forward`."""
        v, log_det = self(latent, condition)
        v = v.flatten(1)
        log_normal: Tensor = -0.5 * (v.square().sum(1) + v.shape[1] * math.log(2 * math.pi))
        return log_normal + log_det

    fit = maximise_likelihood


class Standardise(nn.Module):
    """(z − mean) / std for every component of a condition, with the statistics of the first batch.

    Args:
        features: number of components, the second axis of what is standardised.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))

    @torch.no_grad()
    def initialise(self, condition: Tensor) -> None:
        """Take the statistics of (N, features, …); a constant component is only centred."""
        rows = condition.movedim(1, -1).flatten(0, -2)
        std, mean = torch.std_mean(rows, dim=0, correction=0)
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > STD_FLOOR, std, 1.0))

    def forward(self, condition: Tensor) -> Tensor:
        """The same shape."""
        shape = (-1, *[1] * (condition.ndim - 2))
        return (condition - self.mean.view(shape)) / self.std.view(shape)


def check_at_least(least: int, **sizes: int) -> None:
    """Raise ConfigError for the first size that is too small."""
    for name, value in sizes.items():
        if value < least:
            raise ConfigError(f"{name} must be at least {least}", where=value)


def check_condition(condition: Tensor | None, count: int, *, expected: str, none: bool) -> None:
    """Raise ConfigError where a condition is missing, too much, or not one or one per latent."""
    if (condition is None) != none:
        raise ConfigError(
            f"the flow {'takes none' if none else f'needs conditions {expected}'}", where="condition"
        )
    if condition is not None and len(condition) not in {1, count}:
        raise ConfigError("conditions must be one, or one per latent", where=tuple(condition.shape))
