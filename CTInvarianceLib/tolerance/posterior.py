"""The most probable image behind a representation: Gauss–Newton with preconditioned conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..base import Progress, part, unheard
from ..tensors import filtered
from .layer import LocalLayer, inner_product
from .metric import Metric

STEPS, ITERATIONS = 3, 5
_ENOUGH = 0.01  # of the first residual, in the preconditioner's norm


def most_probable(
    layer: LocalLayer,
    metric: Metric,
    *,
    start: Tensor,
    prior: Tensor,
    wanted: Tensor,
    epsilon: Tensor,
    steps: int = STEPS,
    iterations: int = ITERATIONS,
    progress: Progress = unheard,
) -> Tensor:
    """Argmin over x of ‖wanted − Φ(x)‖² / ε² + (x − prior)ᵀ Σ⁻¹ (x − prior).

    With `prior` drawn from N(m, Σ) and `wanted` = z + ε η this is a sample of p_ε(x given z) for a Gaussian prior,
    exactly so where Φ is linear (Matheron's rule; randomise-then-optimise: Bardsley et al. 2014,
    doi:10.1137/140964023). With `prior` = m and `wanted` = z it is the posterior's mode.

    Args:
        layer: Φ at the region.
        metric: Σ, and the gain that preconditions.
        start: (n, 1, H, W), where Φ is linearised first.
        prior: (n or 1, 1, H, W).
        wanted: (n or 1, C, h, w).
        epsilon: (n or 1, 1, 1, 1), in the units of z per pixel.
        steps: linearisations.
        iterations: of conjugate gradients in every step, at most; each is one product with J and one with Jᵀ.
        progress: called after every iteration; may raise to cancel.
    """
    x, precondition = start, metric.posterior(epsilon)
    precision, stiffness = 1 / epsilon.square(), 1 / metric.noise

    def curvature(v: Tensor) -> Tensor:
        return layer.transpose(layer.forward(v) * precision) + filtered(v, stiffness)

    for step in range(steps):
        found = layer.linearize(x)
        downhill = layer.transpose((wanted - found) * precision) - filtered(x - prior, stiffness)
        x = x + conjugate_gradients(
            curvature,
            downhill,
            lambda residual: filtered(residual, precondition),
            iterations=iterations,
            progress=part(progress, step / steps, (step + 1) / steps),
        )
    return x


def conjugate_gradients(
    matrix: Callable[[Tensor], Tensor],
    right: Tensor,
    precondition: Callable[[Tensor], Tensor],
    *,
    iterations: int,
    enough: float = _ENOUGH,
    progress: Progress = unheard,
) -> Tensor:
    """Solve A d = b for every image by itself, A symmetric and positive.

    An image is done when it is done, whatever others are solved beside it.

    Args:
        matrix: A.
        right: b, (n, 1, H, W).
        precondition: about A⁻¹, symmetric and positive.
        iterations: at most.
        enough: an image is left alone where its residual has shrunk to this share, in the preconditioner's norm.
        progress: called after every iteration.
    """
    solution, residual = torch.zeros_like(right), right
    direction = precondition(residual)
    size = first = inner_product(residual, direction)
    going = torch.ones_like(size)
    for iteration in range(iterations):
        image = matrix(direction)
        length = going * size / inner_product(direction, image).clamp_min(1e-30)
        solution, residual = solution + length * direction, residual - length * image
        preconditioned = precondition(residual)
        new = inner_product(residual, preconditioned)
        progress((iteration + 1) / iterations)
        going = going * (new > enough**2 * first)
        if not bool(going.any()):
            break
        direction = preconditioned + new / size.clamp_min(1e-30) * direction
        size = new
    return solution
