"""Training of the denoisers: one flat loop for the L2 loss, one for WGAN-VGG."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ..config import DenoiserConfig
from ..embedding import Embedding
from ..models import build_denoiser
from .critic import Critic
from .example import Example
from .losses import critic_loss, feature_distance
from .perceptual import load_vgg19
from .run import Run, set_learning_rate

_METRICS_EVERY = 20


def train_l2(run: Run, name: str) -> nn.Module:
    """min_θ ‖f(x; θ) − y‖² on patches (Chen et al.); the denoiser in eval mode, on the run's device."""
    config, stage = run.config.denoisers[name], f"denoiser {name}"
    denoiser = build_denoiser(config, seed=run.config.seed)
    optimizer = torch.optim.Adam(denoiser.parameters(), config.learning_rate)
    trained = {"denoiser": (denoiser, optimizer)}
    model, optimizer = run.fabric.setup(denoiser, optimizer)
    checkpoint, first = run.resume(stage, config.steps, **trained)
    example = Example(run, stage, config.steps)

    batches = run.batches(stage, first, config.steps, config.batch_size, config.patch_size)
    for step, low, full, _ in batches:
        set_learning_rate(optimizer, config.learning_rate, step, config.steps)
        loss = F.mse_loss(model(low), full)
        optimizer.zero_grad()
        run.fabric.backward(loss)
        optimizer.step()
        if step % _METRICS_EVERY == 0:
            run.report.metric(stage, step, loss=loss.item())
        example.after(step, denoiser)
        run.end_step(stage, step, config.steps, checkpoint)
    return denoiser.eval().requires_grad_(False)


def train_wgan_vgg(run: Run, name: str, embedding: Embedding) -> nn.Module:
    """min_θ −E C(f(x)) + λ ‖φ(f(x)) − φ(y)‖ against the critic C (Yang et al.).

    Args:
        run: the run.
        name: of the denoiser in the configuration, which says what φ and λ are.
        embedding: of the full-dose domain; its encoder is φ where perceptual is "embedding".

    Returns:
        The denoiser in eval mode, on the run's device.
    """
    config, fabric, stage = run.config.denoisers[name], run.fabric, f"denoiser {name}"
    denoiser = build_denoiser(config, seed=run.config.seed)
    critic: nn.Module = Critic(config.patch_size, config.critic_width, seed=run.config.seed)
    optimizer = torch.optim.Adam(denoiser.parameters(), config.learning_rate, betas=(0.5, 0.9))
    critic_optimizer = torch.optim.Adam(critic.parameters(), config.learning_rate, betas=(0.5, 0.9))
    trained = {"denoiser": (denoiser, optimizer), "critic": (critic, critic_optimizer)}
    model, optimizer = fabric.setup(denoiser, optimizer)
    critic, critic_optimizer = fabric.setup(critic, critic_optimizer)
    checkpoint, first = run.resume(stage, config.steps, **trained)
    example = Example(run, stage, config.steps)
    features = perceptual_features(run, config, embedding)

    batches = run.batches(stage, first, config.steps, config.batch_size, config.patch_size)
    for step, low, full, generator in batches:
        set_learning_rate(optimizer, config.learning_rate, step, config.steps)
        set_learning_rate(critic_optimizer, config.learning_rate, step, config.steps)
        denoised = model(low)
        for _ in range(config.critic_steps):
            loss_c = critic_loss(critic, full, denoised.detach(), generator=generator)
            critic_optimizer.zero_grad()
            fabric.backward(loss_c)
            critic_optimizer.step()

        perceptual = feature_distance(features, denoised, full, config.perceptual_norm)
        loss = config.perceptual_weight * perceptual - critic(denoised).mean()
        optimizer.zero_grad()
        fabric.backward(loss)
        optimizer.step()
        if step % _METRICS_EVERY == 0:
            run.report.metric(
                stage, step, loss=loss.item(), perceptual=perceptual.item(), critic=loss_c.item()
            )
        example.after(step, denoiser)
        run.end_step(stage, step, config.steps, checkpoint)
    return denoiser.eval().requires_grad_(False)


class EncoderFeatures(nn.Module):
    """φ from CT itself: what a trained encoder makes of it."""

    def __init__(self, embedding: Embedding) -> None:
        super().__init__()
        self.embedding = embedding

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 1, H, W) normalised -> (N, c, h, w)."""
        return self.embedding.features(x)


def perceptual_features(run: Run, config: DenoiserConfig, embedding: Embedding) -> nn.Module:
    """φ of the WGAN-VGG loss, as the configuration asks; raises WeightsError where VGG19 is not to be had."""
    if config.perceptual == "embedding":
        return EncoderFeatures(embedding)
    return run.fabric.to_device(load_vgg19(run.config.vgg19))
