"""The smallest move that brings an image within the tolerance."""

from __future__ import annotations

import torch
from torch import Tensor

from ..base import Progress, part, unheard
from ..tensors import filtered
from .layer import LocalLayer, inner_product, misfit
from .metric import Metric

_STEPS, _ITERATIONS = 4, 4
_CLOSE = 1.0001  # rounding


def move_within(
    layer: LocalLayer,
    metric: Metric,
    images: Tensor,
    z: Tensor,
    epsilon: float,
    *,
    progress: Progress = unheard,
) -> tuple[Tensor, Tensor]:
    """Images with ‖Φ(x′) − z‖ / √P ≤ ε, as near to the given ones as conjugate gradients find them.

    Images that lie within the tolerance stay as they are. For the others, Φ is linearised, and conjugate gradients
    on the normal equations (CGLS) shrink the misfit until it is ε: the discrepancy principle (Morozov 1966; for
    conjugate gradients Hanke 1995). They take the directions first in which the misfit is large and the layer lets
    much through, so that what is stopped early is a small move: in the metric of the preconditioner, which is the
    closed form's posterior. Relinearised where the layer was not linear enough.

    Args:
        layer: Φ at the region.
        metric: Σ and the layer's gain.
        images: (n, 1, H, W).
        z: (1, C, h, w).
        epsilon: in the units of z per pixel.
        progress: called after every iteration; may raise to cancel.

    Returns:
        The images, and the misfit of the given ones in units of ε, (n,).
    """
    moved = images.clone()
    bound = layer.pixels * epsilon**2
    flat = metric.posterior(images.new_tensor(epsilon).reshape(1, 1, 1, 1))
    outside = torch.arange(len(images), device=images.device)
    before = images.new_zeros(len(images))
    for step in range(_STEPS):
        found = layer.linearize(moved[outside])
        if step == 0:
            before = misfit(layer, found, z) / epsilon
        still = inner_product(z - found, z - found).flatten() > bound * _CLOSE
        if not bool(still.any()):
            break
        if not bool(still.all()):
            outside = outside[still]
            found = layer.linearize(moved[outside])
        shrunk = part(progress, step / _STEPS, (step + 1) / _STEPS)
        moved[outside] += _shrink(layer, flat, z - found, bound, shrunk)
    progress(1.0)
    return moved, before


def _shrink(layer: LocalLayer, flat: Tensor, residual: Tensor, bound: float, progress: Progress) -> Tensor:
    """A move d with ‖r − J d‖² ≤ bound, stopped where each image reaches it."""
    gradient = layer.transpose(residual)
    move = torch.zeros_like(gradient)
    direction = filtered(gradient, flat)
    size, left = inner_product(gradient, direction), inner_product(residual, residual)
    active = left > bound
    for iteration in range(_ITERATIONS):
        through = layer.forward(direction)
        power = inner_product(through, through).clamp_min(1e-30)
        length = size / power
        share = _share_to(bound, left, inner_product(residual, through) * length, power * length.square())
        length = length * torch.where(active, share, 0.0)
        move, residual = move + length * direction, residual - length * through
        left = inner_product(residual, residual)
        active = active & (left > bound * _CLOSE)
        progress((iteration + 1) / _ITERATIONS)
        if not bool(active.any()):
            break
        gradient = layer.transpose(residual)
        flattened = filtered(gradient, flat)
        new = inner_product(gradient, flattened)
        direction, size = flattened + new / size.clamp_min(1e-30) * direction, new
    return move


def _share_to(bound: float, left: Tensor, along: Tensor, power: Tensor) -> Tensor:
    """The share s ≤ 1 of a step at which the misfit ‖r − s q‖² = ‖r‖² − 2 s ⟨r, q⟩ + s² ‖q‖² falls to the bound."""
    root = along.square() - power * (left - bound)
    share = (along - root.clamp_min(0).sqrt()) / power.clamp_min(1e-30)
    return torch.where(root >= 0, share.clamp(0, 1), torch.ones_like(share))
