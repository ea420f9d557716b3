"""The terms of the training losses."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def critic_loss(critic: nn.Module, real: Tensor, fake: Tensor, weight: Tensor) -> Tensor:
    """WGAN-GP: E C(fake) − E C(real) + 10 E (‖∇C‖ − 1)² (Gulrajani et al. 2017, arXiv:1704.00028).

    Args:
        critic: (N, 1, H, W) -> (N, 1).
        real: (N, 1, H, W), normalised.
        fake: the same shape, detached.
        weight: (N, 1, 1, 1), drawn evenly from 0 to 1: where between the two the gradient is asked for.
    """
    between = (weight * real + (1 - weight) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
    return critic(fake).mean() - critic(real).mean() + 10 * penalty


def feature_distance(features: nn.Module, a: Tensor, b: Tensor, norm: str) -> Tensor:
    """Perceptual loss: mean |φ(a) − φ(b)| ("l1") or its square ("mse"), over all elements."""
    with torch.no_grad():
        target = features(b)
    difference = features(a) - target
    return difference.abs().mean() if norm == "l1" else difference.square().mean()
