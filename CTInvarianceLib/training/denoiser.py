"""Training of the denoisers: one flat loop for the L2 loss, one for WGAN-VGG."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import DenoiserConfig
from ..models import build_denoiser
from ..volumes import Region
from .accumulation import Halving
from .critic import Critic
from .losses import critic_loss, feature_distance
from .run import Run, set_learning_rate, stage_seed
from .state import Trained
from .watch import LOOK_EVERY, Watch

_VALIDATED, _AT_ONCE = 128, 16  # patches, the same every time

Distance = Callable[[Tensor, Tensor], Tensor]
"""Of denoised and full-dose patches, one number."""


def train_l2(run: Run, name: str) -> nn.Module:
    """min_θ ‖f(x; θ) − y‖² on patches (Chen et al.); the denoiser in eval mode, on the run's device."""
    config, stage = run.config.denoisers[name], f"denoiser {name}"
    denoiser = build_denoiser(config, seed=run.config.seed)
    optimizer = torch.optim.Adam(denoiser.parameters(), config.learning_rate)
    trained = {"denoiser": (denoiser, optimizer)}
    model, optimizer = run.fabric.setup(denoiser, optimizer)
    watch = _watch(run, stage, config, trained, F.mse_loss)
    checkpoint, first = run.resume(stage, trained, watch)
    halving = Halving(run, stage)

    def learn(low: Tensor, full: Tensor) -> dict[str, Tensor]:
        optimizer.zero_grad()
        found = halving.gradients(lambda x, y: {"loss": F.mse_loss(_within(model(x), config), y)}, low, full)
        optimizer.step()
        return found

    batches = run.batches(
        stage, first, config.steps, config.batch_size, config.patch_size + 2 * config.margin
    )
    for step, low, full, _ in batches:
        if watch.over(step):
            break
        set_learning_rate(optimizer, config.learning_rate * watch.rate(step))
        found = halving.step(learn, low, _within(full, config))
        watch.seen(step, *found.values())
        if step % LOOK_EVERY == 0:
            run.report.metric(stage, step, **{name: value.item() for name, value in found.items()})
        run.end_step(stage, step, watch.steps, checkpoint)
    watch.finish()
    return denoiser.eval().requires_grad_(False)


def train_wgan_vgg(run: Run, name: str, features: nn.Module) -> nn.Module:
    """min_θ −E C(f(x)) + λ ‖φ(f(x)) − φ(y)‖ against the critic C (Yang et al.).

    Args:
        run: the run.
        name: of the denoiser in the configuration, which says what λ is.
        features: φ, frozen, on the run's device; see `perceptual.perceptual_features`.

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
    distance = partial(feature_distance, features, norm=config.perceptual_norm)
    watch = _watch(run, stage, config, trained, distance)
    checkpoint, first = run.resume(stage, trained, watch)

    halving = Halving(run, stage)

    def loss_of_critic(real: Tensor, fake: Tensor, weight: Tensor) -> dict[str, Tensor]:
        return {"critic": critic_loss(critic, real, fake, weight)}

    def denoise(low: Tensor) -> Tensor:
        return _within(model(low), config)

    def loss_of(low: Tensor, full: Tensor, denoised: Tensor) -> dict[str, Tensor]:
        denoised = denoised if denoised.requires_grad else denoise(low)
        perceptual = distance(denoised, full)
        loss = config.perceptual_weight * perceptual - critic(denoised).mean()
        return {"loss": loss, "perceptual": perceptual}

    def learn(low: Tensor, full: Tensor, weights: Tensor) -> dict[str, Tensor]:
        (denoised,) = halving.outputs(denoise, low)
        for weight in weights:
            critic_optimizer.zero_grad()
            of_critic = halving.gradients(loss_of_critic, full, denoised.detach(), weight)
            critic_optimizer.step()
        optimizer.zero_grad()
        found = halving.gradients(loss_of, low, full, denoised)
        optimizer.step()
        return found | of_critic

    batches = run.batches(
        stage, first, config.steps, config.batch_size, config.patch_size + 2 * config.margin
    )
    for step, low, full, draws in batches:
        if watch.over(step):
            break
        for each in (optimizer, critic_optimizer):
            set_learning_rate(each, config.learning_rate * watch.rate(step))
        weights = torch.stack([draws.uniform(len(low), 1, 1, 1) for _ in range(config.critic_steps)])
        found = halving.step(learn, low, _within(full, config), weights.to(low))
        watch.seen(step, *found.values())
        if step % LOOK_EVERY == 0:
            run.report.metric(stage, step, **{name: value.item() for name, value in found.items()})
        run.end_step(stage, step, watch.steps, checkpoint)
    watch.finish()
    return denoiser.eval().requires_grad_(False)


def _within(images: Tensor, config: DenoiserConfig) -> Tensor:
    """Patches without the margin that the denoiser sees around them."""
    inner = config.margin, config.margin, config.patch_size, config.patch_size
    return Region(*inner).of(images)


def _watch(run: Run, stage: str, config: DenoiserConfig, trained: Trained, distance: Distance) -> Watch:
    """The stage's watch: what is to fall is the distance of denoised from full-dose patches of validation patients.

    A critic has no part in it: its scores mean nothing but beside each other.
    """

    def validate(module: nn.Module) -> float:
        parts = zip(low.split(_AT_ONCE), full.split(_AT_ONCE), strict=True)
        found = [distance(_within(module(x), config), _within(y, config)) for x, y in parts]
        return float(torch.stack(found).mean())

    if config.validate_every:
        seed = stage_seed(run.config.seed, "validation")
        drawn = run.validation.draw(_VALIDATED, config.patch_size + 2 * config.margin, seed=seed)
        low, full = (run.fabric.to_device(each) for each in drawn)
    return Watch(
        stage,
        config.steps,
        trained,
        run.report,
        fabric=run.fabric,
        validate=validate,
        every=config.validate_every,
        patience=config.patience,
        average=config.average,
    )
