"""Training of flows by maximum likelihood: a step of many, and a flat loop for one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..base import ConfigError, DataError
from ..tensors import rate_factor
from .stack import FlowStack

if TYPE_CHECKING:
    from .interface import Flow

INITIAL = 64  # latents, at least, from which the first scales are set: fewer have a covariance by chance

FlowBatch = tuple[Sequence[Tensor], Sequence[Tensor] | None]
"""What every flow of a stack sees in a step: latents (N, …), and conditions (N, …) where it takes any."""


def make_optimizer(stack: nn.Module, weight_decay: float) -> torch.optim.Optimizer:
    """Adam with decoupled decay of the weight matrices alone (arXiv:1412.6980, arXiv:1711.05101)."""
    decaying = [p for name, p in stack.named_parameters() if name.endswith("weight")]
    others = [p for name, p in stack.named_parameters() if not name.endswith("weight")]
    groups = [{"params": decaying, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], fused=True)


def descend(
    stack: FlowStack,
    optimizer: torch.optim.Optimizer,
    batch: FlowBatch,
    *,
    max_norm: float,
    average: Callable[[FlowStack, Tensor], Tensor] | None = None,
) -> Tensor:
    """One step towards the least mean of -log p(z̄ given z), of every flow by itself.

    Args:
        stack: the flows.
        optimizer: `make_optimizer`'s.
        batch: what every flow sees.
        max_norm: of every flow's gradient.
        average: over processes: gets the stack, whose gradients it averages, and the losses; None: there is one alone.

    Returns:
        The loss of every flow, (flows,), in nats per latent.
    """
    optimizer.zero_grad()
    losses = stack.accumulate(*batch)
    if average is not None:
        losses = average(stack, losses)
    stack.clip_gradients(max_norm)
    optimizer.step()
    return losses


def maximise_likelihood(
    flow: Flow,
    latents: Tensor,
    conditions: Tensor | None = None,
    *,
    stds: Tensor | None = None,
    steps: int = 2000,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.0,
    max_norm: float = 10.0,
    seed: int = 0,
    progress: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Train one flow on latents that are all at hand: linear warm-up, cosine decay; batches are drawn with replacement.

    The tensors may lie on another device than the flow: each batch takes the flow's device and type, and random
    numbers are drawn on the CPU.

    Args:
        flow: what is trained; left in eval mode, also where the loop ends early.
        latents: z̄ (N, d).
        conditions: z, N of what the flow takes as condition; None for an unconditional flow.
        stds: (N, d); each step then draws its latents from N(z̄, std²), the posterior of the embedding.
        steps: number of batches.
        batch_size: latents in a batch.
        learning_rate: the largest one, reached after the warm-up.
        weight_decay: of the weight matrices; scales, shifts and biases do not decay.
        max_norm: of the gradient.
        seed: fixes batches and posterior draws.
        progress: called after each step with the step, from 1, and the loss; may raise to cancel, which
            leaves the weights as they are.

    Returns:
        The loss of every step, in nats per latent.

    Raises:
        ConfigError: a setting that is not possible, or the loss stops being finite.
        DataError: tensors that do not belong together, or values that are not finite.
    """
    _check_settings(steps, batch_size, learning_rate)
    _check_tensors(latents, conditions, stds)
    like = next(flow.parameters())
    losses: list[float] = []

    def draw(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        rows = torch.randint(len(latents), (count,), generator=generator)
        latent = take(latents, rows, like)
        if stds is not None:
            noise = torch.randn(latent.shape, generator=generator).to(like)
            latent = latent + take(stds, rows, like) * noise
        return latent, None if conditions is None else take(conditions, rows, like)

    if not flow.initialised:
        flow.initialise(*draw(max(batch_size, INITIAL), torch.Generator().manual_seed(seed)))
    stack, generator = FlowStack([flow]), torch.Generator().manual_seed(seed)
    optimizer = make_optimizer(stack, weight_decay)
    try:
        for step in range(steps):
            latent, condition = draw(batch_size, generator)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * rate_factor(step, steps)
            batch = ([latent], None if condition is None else [condition])
            losses.append(float(descend(stack, optimizer, batch, max_norm=max_norm)))
            if not math.isfinite(losses[-1]):
                raise ConfigError(
                    "the loss of the flow is not finite",
                    where=f"step {step + 1}",
                    hint="Use a lower learning rate or a smaller max_norm.",
                )
            if progress is not None:
                progress(step + 1, losses[-1])
    finally:
        stack.unstack([flow])
        flow.eval()
    return losses


def take(source: Tensor, rows: Tensor, like: Tensor) -> Tensor:
    """The given rows, on the device and of the type of another tensor."""
    return source[rows.to(source.device)].to(like)


def _check_settings(steps: int, batch_size: int, learning_rate: float) -> None:
    for name, value in {"steps": steps, "batch_size": batch_size, "learning_rate": learning_rate}.items():
        if not value > 0:
            raise ConfigError(f"{name} must be positive", where=value)


def _check_tensors(latents: Tensor, conditions: Tensor | None, stds: Tensor | None) -> None:
    if len(latents) == 0:
        raise DataError("there are no latents to train the flow on")
    if stds is not None and stds.shape != latents.shape:
        raise DataError("stds and latents differ in shape", where=f"{stds.shape}, {latents.shape}")
    if conditions is not None and len(conditions) != len(latents):
        raise DataError("not one condition per latent", where=f"{len(conditions)}, {len(latents)}")
    for name, tensor in {"latents": latents, "conditions": conditions, "stds": stds}.items():
        if tensor is not None and not tensor.isfinite().all():
            raise DataError(f"{name} hold values that are not finite")
