"""Training of a flow by maximum likelihood: one flat loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..base import ConfigError, DataError
from ..tensors import rate_factor

_INITIAL = 64  # latents, at least, from which the first scales are set: fewer have a covariance by chance


class Density(Protocol):
    """What can be trained here: a torch module that knows log p(z̄ given z), such as `interface.Flow`."""

    initialised: Tensor

    def initialise(self, latent: Tensor, condition: Tensor | None = None) -> None:
        """Set the scales from one batch."""

    def log_prob(self, latent: Tensor, condition: Tensor | None = None) -> Tensor:
        """log p(z̄ given z) (N,) in nats."""

    def train(self) -> Any:
        """Of `nn.Module`, as what follows."""

    def eval(self) -> Any:
        """Of `nn.Module`."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Of `nn.Module`."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Of `nn.Module`."""


def maximise_likelihood(
    flow: Density,
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
    """Minimises the mean of -log p(z̄ given z) over random batches, drawn with replacement.

    Adam with decoupled weight decay of the weight matrices (arXiv:1412.6980, arXiv:1711.05101), linear
    warm-up, cosine decay to zero, gradients clipped to a norm. The tensors may lie on another device than
    the flow: each batch takes the flow's device and type, and random numbers are drawn on the CPU.

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
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(_groups(flow, weight_decay), learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_factor(step, steps))
    losses: list[float] = []

    def draw(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        rows = torch.randint(len(latents), (count,), generator=generator)
        latent = take(latents, rows, like)
        if stds is not None:
            noise = torch.randn(latent.shape, generator=generator).to(like)
            latent = latent + take(stds, rows, like) * noise
        return latent, None if conditions is None else take(conditions, rows, like)

    if not flow.initialised:
        flow.initialise(*draw(max(batch_size, _INITIAL), torch.Generator().manual_seed(seed)))
    flow.train()
    try:
        for step in range(1, steps + 1):
            latent, condition = draw(batch_size, generator)

            loss = -flow.log_prob(latent, condition).mean()
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                raise ConfigError(
                    "the loss of the flow is not finite",
                    where=f"step {step}",
                    hint="Use a lower learning rate or a smaller max_norm.",
                )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(flow.parameters(), max_norm)
            optimiser.step()
            schedule.step()
            if progress is not None:
                progress(step, losses[-1])
    finally:
        flow.eval()
    return losses


def take(source: Tensor, rows: Tensor, like: Tensor) -> Tensor:
    """The given rows, on the device and of the type of another tensor."""
    return source[rows.to(source.device)].to(like)


def _groups(flow: Density, weight_decay: float) -> list[dict[str, object]]:
    """Only weights decay; scales, shifts and biases are left alone."""
    decaying = [p for name, p in flow.named_parameters() if name.endswith("weight")]
    others = [p for name, p in flow.named_parameters() if not name.endswith("weight")]
    return [{"params": decaying, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


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
